"""Small model files: models of toy scans on a grid of 8 x 9 x 5 voxels."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainuad.config import templates
from brainuad.config.recipe import Recipe
from brainuad.config.study import Compute
from brainuad.formats import array_cache, bundle, model_file
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.model_file import FileThreshold, Grid, Manifest, Part
from brainuad.formats.scans import Scan
from brainuad.images.template import fingerprint

SHAPE, AFFINE = (8, 9, 5), np.diag([2.0, 2, 2, 1])
BRAIN = np.zeros(SHAPE, bool)
BRAIN[1:-1, 1:-1] = True
COMPUTE = Compute(threads=1, accelerator="cpu")


def toy_scans(path: Path) -> Path:
    """An array cache of two training scans, a validation and a test scan."""
    rng = np.random.default_rng(0)
    roles = ["train"] * 2 + ["validation", "test"]
    images = [rng.random(SHAPE, dtype=np.float32) * BRAIN for _ in roles]
    rows = [Scan(f"sub-{i}", f"sub-{i}", "toy", role=role) for i, role in enumerate(roles)]
    entries = [array_cache.Entry(row, image, BRAIN) for row, image in zip(rows, images, strict=True)]
    array_cache.write(path, entries, CacheHeader(AFFINE, {}, {}))
    return path


def trained(folder: Path, data: Path, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """The folders of these models, trained."""
    from brainuad.methods import registry  # late: not every test trains
    from brainuad.train.training import train

    places = {label: folder / "models" / label / "seed-0" for label in models}
    for label, settings in models.items():
        tags = {"model": label, "seed": "0"}
        train([data], registry.validate(settings), 0, COMPUTE, places[label], tags)
        for path in places[label].iterdir():
            if path.name not in (bundle.ARRAYS, bundle.ABOUT):
                path.unlink()
    return places


def manifest(models: Mapping[str, Mapping[str, Any]], **changes: Any) -> Manifest:
    """A manifest of models that were trained by `trained`; the last one is exported."""
    recipe = Recipe().model_dump(mode="json")
    parts = [Part(label=label, bundle=f"{label}/seed-0", map=each.get("map", {})) for label, each in models.items()]
    content: dict[str, Any] = {
        "name": "toy",
        "study": "toy",
        "label": parts[-1].label,
        "seeds": [0],
        "modality": "T1w",
        "lesion_sign": "bright",
        "parts": parts,
        "recipe": {"preprocess": recipe["preprocess"], "normalize": recipe["normalize"]},
        "template": {"name": templates.BUNDLED, "sha256": "0" * 64},
        "grid": Grid(shape=SHAPE, affine=AFFINE.tolist()),
        "postprocessing": {"label": "none", "operators": []},
        "thresholds": {"fixed_2": FileThreshold(value=2.0, source="paper constant", scans=0)},
        "healthy_scores": [0.1, 0.2, 0.3],
        "healthy_scans": "validation scans of toy",
        "erode_voxels": 1,
        "training": ["toy/sub-0", "toy/sub-1"],
        "versions": {"brainuad": "0"},
        "threads": 1,
    }
    return Manifest(**{**content, **changes})


def toy_model(folder: Path) -> Path:
    """A model file, `toy.brainuad`, in the folder."""
    models = {"histeq": {"family": "thresh_histeq", "map": {}}}
    trained(folder / "parts", toy_scans(folder / "toy"), models)
    template = {"name": templates.BUNDLED, "sha256": fingerprint(templates.BUNDLED)}
    model_file.write(folder / "toy.brainuad", manifest(models, template=template), folder / "parts")
    return folder / "toy.brainuad"


def rezipped(path: Path, out: Path, members: Mapping[str, bytes]) -> Path:
    """A zip with these members beside those of the model file `path`, and with the digest that one ends in."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name, old.read(name)))
        for name in members.keys() - set(old.namelist()):
            new.writestr(name, members[name])
        new.comment = b"0" * model_file.DIGEST
    content = out.read_bytes()[: -model_file.DIGEST]
    out.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    return out
