"""The notebook of the docs, run cell by cell on a small model; it holds no output."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nibabel as nib
import numpy as np
import pytest
from good_numbers import GOOD
from model_files import manifest, trained

from brainuad.config import templates
from brainuad.config.recipe import Recipe
from brainuad.formats import array_cache, model_file
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.model_file import Grid
from brainuad.formats.scans import Scan
from brainuad.images import template
from brainuad.normalize.caching import on_models_grid
from brainuad.normalize.grid import window
from brainuad.predict.found import Given, Options
from brainuad.preprocess import pipeline

NOTEBOOK = Path(__file__).parents[2] / "docs/predict.ipynb"
SPACING = 4.0
LESION = (slice(24, 27), slice(20, 23), slice(22, 25))
"""On the grid of the template."""


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def run(cell: dict[str, Any], names: dict[str, Any]) -> Any:
    """Execute a cell; the value of the expression that it ends in, as a notebook would show it."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names) if last else None


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An atlas of noisy templates, and the template with a bright lesion."""
    about, head = Recipe().model_dump(mode="json"), template.load(templates.BUNDLED, SPACING)
    recipe = {"preprocess": {**about["preprocess"], "spacing": SPACING}, "normalize": about["normalize"]}
    box, rng = window(head.t1.shape, head.affine, Recipe().normalize), np.random.default_rng(0)
    noisy = [(head.t1 + 0.1 * rng.standard_normal(head.t1.shape)) * head.brain for _ in range(6)]
    scaled = [on_models_grid(each, head.brain, Recipe().normalize.intensity, {}, box) for each in noisy]
    entries = [
        array_cache.Entry(Scan(f"sub-{n}", f"sub-{n}", "toy", role="train"), *each) for n, each in enumerate(scaled)
    ]
    array_cache.write(tmp_path / "toy", entries, CacheHeader(box.affine))
    models = {"atlas": {"family": "zscore_atlas", "map": {}}}
    trained(tmp_path / "parts", tmp_path / "toy", models)
    content = manifest(
        models,
        recipe=recipe,
        template={"name": templates.BUNDLED, "sha256": template.fingerprint(templates.BUNDLED)},
        grid=Grid(shape=head.t1.shape, affine=head.affine.tolist()),
    )
    model_file.write(tmp_path / "mine.brainuad", content, tmp_path / "parts")
    scan = head.t1.astype(np.float32)
    scan[LESION] = 3
    nib.save(nib.Nifti1Image(scan, head.affine), tmp_path / "sub-01_T1w.nii.gz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "measure", lambda *_: dict(GOOD))  # measuring takes a second
    mpl.use("agg")


def test_the_notebook_runs_and_finds_the_lesion(files):
    names: dict[str, Any] = {}
    parameters, *others = cells()
    assert parameters["metadata"]["tags"] == ["parameters"]
    run(parameters, names)
    names["options"] = Options(Given(stripped=True, registered=True))  # registration takes seconds
    shown = [run(cell, names) for cell in others]
    (first,) = names["found"].query("rank == 1").to_dict("records")
    own = nib.load("sub-01_anomalymap.nii.gz")
    peak = np.unravel_index(own.get_fdata().argmax(), own.shape)
    assert all(place.start <= at < place.stop for place, at in zip(LESION, peak, strict=True))
    assert np.allclose(own.affine[:3] @ [*peak, 1], first["peak_scan_mm"])
    assert len(names["figure"].axes) == 2
    assert "<" in shown[-1]._repr_html_()


def test_the_notebook_holds_no_output():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())
