"""Data of the interactive viewer: scans and maps as pictures of all axial slices, side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from brainuad.config.study import Study
from brainuad.report import slices
from brainuad.report.examples import Example, read_anomaly, read_browsable
from brainuad.report.study_results import StudyResults


def viewer_scans(
    study: Study, folder: Path, results: StudyResults, best_first: Sequence[str], budget: int
) -> list[dict[str, Any]]:
    """An entry for the viewer's script per scan, until `budget` (bytes) is spent; then one data set after the other.

    `folder`: `results/<study>`; `best_first`: the models in the order of the viewer.
    """
    entries: list[tuple[int, dict[str, Any]]] = []
    spent = 0
    for place, example in _in_turn(read_browsable(study, folder, results.scans)):
        entry = _scan(example, study.sequences())
        for model in best_first:
            seed = results.shown_seeds.get((model, example.dataset))
            anomaly = read_anomaly(study, folder, example, model, seed)
            if anomaly is not None:
                rules = results.thresholds.get((model, next(iter(study.postprocessing)), example.dataset), {})
                entry["models"].append(_map(example, model, anomaly, next(iter(rules.values()), None)))
        spent += sum(map(len, [entry["image"], entry["truth"], *entry.get("further", [])]))
        spent += sum(len(each["map"]) for each in entry["models"])
        if spent > budget:
            break
        if entry["models"]:
            entries.append((place, entry))
    return [entry for _, entry in sorted(entries, key=lambda each: each[0])]


def browsable(entries: Sequence[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    """Data set, scan and model of all maps that can be browsed."""
    return {(entry["dataset"], entry["scan"], each["model"]) for entry in entries for each in entry["models"]}


def _in_turn(sets: Sequence[Iterable[Example]]) -> Iterator[tuple[int, Example]]:
    """The first scan of each data set before any second one, each with the place of its data set."""
    for row in itertools.zip_longest(*sets):
        yield from ((place, example) for place, example in enumerate(row) if example is not None)


def _scan(example: Example, sequences: Sequence[str]) -> dict[str, Any]:
    box = slices.bounding_box(example.brain)
    columns = _columns(example)
    further = list(example.further.values())
    whites = [example.white, *(float(np.percentile(each[example.brain], 99.5)) for each in further)]
    drawn = [
        slices.webp(slices.mosaic(_grey(each, example.brain, white), box, columns), quality=80)
        for each, white in zip([example.image, *further], whites, strict=True)
    ]
    shown = (*box, slice(None))
    corner = [part.start or 0 for part in shown]
    to_mni = example.affine @ np.block([[np.eye(3), np.array(corner)[:, None]], [np.zeros(3), 1]])
    level = example.slice_index
    marked = (example.lesion if example.lesion.any() else example.brain)[..., level]
    inside = ndimage.distance_transform_edt(np.pad(marked, 1))[1:-1, 1:-1]
    x, y = (int(n) for n in np.unravel_index(inside.argmax(), inside.shape))  # in the thickest lesion
    return {
        "dataset": example.dataset,
        "scan": example.scan,
        "shape": example.brain[shown].shape,
        "voxel": np.linalg.norm(example.affine[:3, :3], axis=0).round(4).tolist(),
        "columns": columns,
        "start": [x - corner[0], y - corner[1], level],
        "toMni": to_mni.round(4).tolist(),
        "image": drawn[0],
        "truth": slices.png(255 * slices.mosaic(example.lesion, box, columns).astype(np.uint8)),
        "models": [],
        **({"names": [sequences[0], *example.further], "further": drawn[1:]} if further else {}),
    }


def _grey(
    image: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], white: float
) -> UInt8[np.ndarray, "x y z"]:
    return np.where(brain, np.clip(image / max(white, 1e-6), 0, 1) * 255, 0).astype(np.uint8)


def _columns(example: Example) -> int:
    return math.ceil(math.sqrt(example.brain.shape[2]))


def _map(example: Example, model: str, anomaly: Float[np.ndarray, "x y z"], threshold: float | None) -> dict[str, Any]:
    steps, low, high = slices.in_steps(anomaly, example.brain, threshold)
    picture = slices.png(slices.mosaic(steps, slices.bounding_box(example.brain), _columns(example)))
    return {"model": model, "map": picture, "low": low, "high": high, "threshold": threshold}
