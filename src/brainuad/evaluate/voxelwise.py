"""Voxel by voxel: areas under precision-recall and ROC curves, and Dice, inside the scored brain.

One scan is scored exactly. Pooled numbers and their bootstraps go over counts in bins that all scans share, so that a
resample is a weighted sum: with the bins of `edges` they differ from the exact value by less than 0.001.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

Values = Float[np.ndarray, "n"]
Counts = Float[np.ndarray, "*resamples bins"]

BINS = 4096


def scored_brain(brain: Bool[np.ndarray, "x y z"], voxels: int) -> Bool[np.ndarray, "x y z"]:
    """The brain without its rim, `voxels` deep (6 neighbours)."""
    return ndimage.binary_erosion(brain, iterations=voxels) if voxels else brain


def scan_areas(lesion: Values, normal: Values) -> tuple[float, float]:
    """Average precision and area under the ROC curve of one scan, exactly; NaN if it lacks either kind of voxel.

    `lesion`, `normal`: values of the map in and outside lesions; `normal` ascending. Equal values are one step.
    """
    if not lesion.size or not normal.size:
        return np.nan, np.nan
    levels, counts = np.unique(lesion, return_counts=True)
    below, upto = (np.searchsorted(normal, levels, side=side) for side in ("left", "right"))
    hits = np.cumsum(counts[::-1])[::-1]
    precision = hits / (hits + normal.size - below)
    area = float((counts * precision).sum() / lesion.size)
    return area, float((counts * (below + upto)).sum() / (2 * lesion.size * normal.size))


def edges(lesion: Values, normal: Values) -> Values:
    """Ascending bin edges: quantiles of both kinds of voxels, so that neither lies in a few bins. float32.

    Where a kind has at most as many distinct values as bins, each value is a bin of its own, and nothing is lost.
    """
    return np.unique(np.concatenate([_levels(kind) for kind in (lesion, normal)]))


def counts(values: Values, at: Values) -> Int[np.ndarray, "bins"]:
    """How many of the ascending `values` lie in each bin [edge, next edge); the outer bins take the rest."""
    starts = np.searchsorted(values, at[1:], side="left")
    return np.diff(np.concatenate([[0], starts, [values.size]]))


def pooled_auprc(lesion: Counts, normal: Counts) -> Float[np.ndarray, "*resamples"]:
    """Average precision from counts by bin; all voxels of a bin are one step. NaN without lesion voxels."""
    hits, false = _above(lesion), _above(normal)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(lesion > 0, hits / (hits + false), 0)
        return np.asarray((lesion * precision).sum(axis=-1) / hits[..., 0])


def pooled_auroc(lesion: Counts, normal: Counts) -> Float[np.ndarray, "*resamples"]:
    """Area under the ROC curve from counts by bin; a pair within a bin counts half. NaN without either kind."""
    hits, false = _above(lesion), _above(normal)
    below = false[..., :1] - false + normal / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((lesion * below).sum(axis=-1) / (hits[..., 0] * false[..., 0]))


def pooled_dice(lesion: Counts, normal: Counts) -> Float[np.ndarray, "*resamples bins"]:
    """Pooled Dice if every bin from this one upwards were marked."""
    hits, false = _above(lesion), _above(normal)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hits / (hits + false + hits[..., :1]))


def precision_recall(lesion: Counts, normal: Counts, points: int) -> tuple[Values, Values]:
    """Recall (ascending) and precision at no more than `points` cuts, evenly spaced in recall."""
    hits, false = _above(lesion), _above(normal)
    recall, precision = hits / hits[0], hits / np.maximum(hits + false, 1)
    wanted = np.linspace(1 / points, 1, points)
    place = np.unique(len(recall) - 1 - np.searchsorted(recall[::-1], wanted, side="left"))[::-1]
    return recall[place], precision[place]


def _above(counted: Counts) -> Counts:
    """Voxels in this bin or a higher one."""
    return np.cumsum(counted[..., ::-1], axis=-1)[..., ::-1]


def _levels(values: Values) -> Values:
    ordered = np.sort(values)
    if not ordered.size:
        return ordered
    distinct = ordered[np.concatenate([[True], np.diff(ordered) > 0])]
    if distinct.size <= BINS:
        return distinct
    return ordered[np.linspace(0, ordered.size - 1, BINS).astype(np.intp)]
