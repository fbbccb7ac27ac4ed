"""Data of the interactive viewer: the axial slices of a volume side by side in one picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from brainuad.config.study import Study
from brainuad.report import slices
from brainuad.report.examples import Example, Prediction, read_prediction
from brainuad.report.study_results import StudyResults

FLOOR = 0.90
"""Quantile of the map in the brain; lower values are not drawn. No useful threshold lies lower; pictures get small."""


def viewer_scans(
    study: Study,
    folder: Path,
    shown: Sequence[Example],
    results: StudyResults,
    budget: int,
) -> list[dict[str, Any]]:
    """An entry for the viewer's script per scan, until `budget` (bytes) is spent.

    `folder`: `results/<study>`.
    """
    entries: list[dict[str, Any]] = []
    spent = 0
    for example in _browsable(study, shown):
        entry = _scan(example)
        for model in study.models:
            seed = results.shown_seeds.get((model, example.dataset))
            prediction = read_prediction(study, folder, example, model, seed)
            if prediction is not None:
                rules = results.thresholds.get((model, next(iter(study.postprocessing)), example.dataset), {})
                entry["models"].append(_map(example, prediction, next(iter(rules.values()), None)))
        spent += sum(len(entry[key]) for key in ("image", "truth")) + sum(len(m["map"]) for m in entry["models"])
        if spent > budget:
            break
        entries.append(entry)
    return entries


def _browsable(study: Study, shown: Sequence[Example]) -> Iterator[Example]:
    """The first examples of each data set, as many as the study says."""
    for dataset in dict.fromkeys(example.dataset for example in shown):
        yield from [example for example in shown if example.dataset == dataset][: study.report.interactive]


def _scan(example: Example) -> dict[str, Any]:
    box, count = slices.bounding_box(example.brain), example.brain.shape[2]
    columns = math.ceil(math.sqrt(count))
    rows, width = slices.axial(example.brain, 0, box).shape
    scaled = np.where(example.brain, np.clip(example.image / example.white, 0, 1) * 255, 0).astype(np.uint8)
    return {
        "name": f"{example.dataset}: {example.scan}",
        "width": width,
        "height": rows,
        "columns": columns,
        "slices": count,
        "start": example.slice_index,
        "z": [float(example.affine[2, 3]), float(example.affine[2, 2])],
        "image": slices.webp(slices.mosaic(scaled, box, columns), quality=80),
        "truth": slices.png(255 * slices.mosaic(example.lesion, box, columns).astype(np.uint8)),
        "models": [],
    }


def _map(example: Example, prediction: Prediction, threshold: float | None) -> dict[str, Any]:
    steps, low, high = in_steps(prediction.anomaly, example.brain, threshold)
    columns = math.ceil(math.sqrt(example.brain.shape[2]))
    picture = slices.png(slices.mosaic(steps, slices.bounding_box(example.brain), columns))
    return {"model": prediction.model, "map": picture, "low": low, "high": high, "threshold": threshold}


def in_steps(
    anomaly: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], threshold: float | None
) -> tuple[UInt8[np.ndarray, "x y z"], float, float]:
    """The map as bytes, and `low` and `high` in its units: 0 below `low`, then 1 to 255 from `low` to `high`."""
    values = anomaly[brain]
    low = float(min(np.quantile(values, FLOOR), np.inf if threshold is None else threshold))
    high = float(max(values.max(), low + 1e-9, low if threshold is None else threshold * 1.05))
    steps = np.clip(np.ceil((anomaly - low) / (high - low) * 255), 0, 255) * brain
    return steps.astype(np.uint8), low, high
