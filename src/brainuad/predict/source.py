"""Where a model comes from: a model file, a trained model in the results of a study, or a model in MLflow."""

from __future__ import annotations

from pathlib import Path

from brainuad.clean import study_file
from brainuad.errors import InputError
from brainuad.formats import leftovers, model_file
from brainuad.formats.model_file import ModelFile
from brainuad.predict.model import Model
from brainuad.sharing import NAME as SOURCES

IN_MLFLOW = ("models:/", "runs:/")
"""How addresses of models in MLflow begin."""


def read(path: Path) -> ModelFile:
    """The model file at `path`, the model `results/<study>/MODEL` as `brainuad export` writes it, or one in MLflow.

    Raises InputError as `model_file.read`, `export` and `mlflow_models.fetch` do.
    """
    if str(path).startswith(IN_MLFLOW):
        from brainuad.predict import mlflow_models

        with leftovers.temporary_folder() as place:
            return model_file.read(mlflow_models.fetch(str(path), place))
    if not is_in_results(path):
        return model_file.read(path)
    if (path / SOURCES).is_file():
        why = f"{path.name} is the results folder of a whole study"
        raise InputError("no model is named", file=path, why=why, do=f"name a model of it: {path}/MODEL")
    folder, study = path.parent, study_file(path.parent)
    if not study.is_file():
        why = f"its study file {study} is not there"
        do = "export the model with `brainuad export --study FILE`, and name the model file"
        raise InputError(f"the model of {folder.name} cannot be read", file=folder, why=why, do=do)
    from brainuad.predict.export import Wanted, export  # late: a model file needs nothing of it

    with leftovers.temporary_folder() as place:
        out = place / f"{path.name}{model_file.SUFFIX}"
        export(study, folder, Wanted(path.name), out)
        return model_file.read(out)


def is_in_results(path: Path) -> bool:
    """Whether it names a study's results folder, or a model in one, and no file."""
    return not path.is_file() and any((folder / SOURCES).is_file() for folder in (path, path.parent))


def load(path: str | Path, accelerator: str = "cpu", threads: int | None = None, batch: int | None = None) -> Model:
    """Load a model file, the model `results/<study>/MODEL`, or one in MLflow: `models:/NAME/VERSION`, `runs:/RUN`.

    `accelerator`: `cpu`, `gpu` or `auto`; `threads`, `batch` (slices at once): those of the study if None. Raises
    InputError for a file that is missing, altered, of a later version, or that does not fit this one, and for results
    that cannot be exported.
    """
    path = Path(path)
    return Model(read(path), path, accelerator, threads, batch)
