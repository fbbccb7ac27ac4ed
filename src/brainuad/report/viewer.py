"""Data of the interactive viewer: axial slices side by side in one picture per volume, for a canvas to take apart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from brainuad.config.study import Study
from brainuad.report import slices
from brainuad.report.examples import Example, Result, result

FLOOR = 0.90
"""Quantile of the brain's voxels under which a map is not drawn: pictures stay small, and no useful cut is lower."""


def viewed(study: Study, shown: list[Example]) -> list[Example]:
    """The examples that may be browsed: the first ones of each data set."""
    kept = []
    for dataset in dict.fromkeys(example.dataset for example in shown):
        kept += [example for example in shown if example.dataset == dataset][: study.report.interactive]
    return kept


def sprites(
    study: Study, folder: Path, shown: list[Example], cuts: dict[Any, Any], budget: int
) -> list[dict[str, Any]]:
    """What the viewer's script reads, one entry per scan; scans beyond `budget` (bytes) are left out."""
    found: list[dict[str, Any]] = []
    spent = 0
    for example in viewed(study, shown):
        entry = _scan(example)
        for model in study.models:
            one = result(study, folder, example, model)
            if one is not None:
                rules = cuts.get((model, next(iter(study.postprocessing)), example.dataset), {})
                entry["models"].append(_map(example, one, next(iter(rules.values()), None)))
        spent += sum(len(entry[key]) for key in ("image", "truth")) + sum(len(m["map"]) for m in entry["models"])
        if spent > budget:
            break
        found.append(entry)
    return found


def mosaic(volume: Shaped[np.ndarray, "x y z"], box: tuple[slice, slice], columns: int) -> Shaped[np.ndarray, "r c"]:
    """Axial slices in reading order, lowest first, the last row filled with 0."""
    tiles = [slices.axial(volume, level, box) for level in range(volume.shape[2])]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])


def _scan(example: Example) -> dict[str, Any]:
    box, levels = slices.bounds(example.brain), example.brain.shape[2]
    columns = math.ceil(math.sqrt(levels))
    rows, width = slices.axial(example.brain, 0, box).shape
    scaled = np.where(example.brain, np.clip(example.image / example.top, 0, 1) * 255, 0).astype(np.uint8)
    return {
        "name": f"{example.dataset}: {example.scan}",
        "width": width,
        "height": rows,
        "columns": columns,
        "levels": levels,
        "start": example.level,
        "z": [float(example.affine[2, 3]), float(example.affine[2, 2])],
        "image": slices.webp(mosaic(scaled, box, columns), quality=80),
        "truth": slices.png(255 * mosaic(example.lesion, box, columns).astype(np.uint8)),
        "models": [],
    }


def _map(example: Example, one: Result, cut: float | None) -> dict[str, Any]:
    """`map`: 0 below `low`, then 1 to 255 from `low` to `high`, in units of the map."""
    values = one.anomaly[example.brain]
    low = float(min(np.quantile(values, FLOOR), np.inf if cut is None else cut))
    high = float(max(values.max(), low + 1e-9, low if cut is None else cut * 1.05))
    steps = np.clip(np.ceil((one.anomaly - low) / (high - low) * 255), 0, 255) * example.brain
    box, levels = slices.bounds(example.brain), example.brain.shape[2]
    picture = slices.png(mosaic(steps.astype(np.uint8), box, math.ceil(math.sqrt(levels))))
    return {"model": one.model, "map": picture, "low": low, "high": high, "cut": cut}
