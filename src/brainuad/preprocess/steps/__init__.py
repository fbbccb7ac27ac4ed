"""Steps that a recipe may list under `preprocess.steps`: one module each, with one class derived from `Step`."""
