"""Which lesions a predicted mask hits, and which of its components hit none, under every rule and size at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from brainuad.evaluate.scan import ScanTruth
from brainuad.images import components
from brainuad.multiverse.choices import Hit

Mask = Bool[np.ndarray, "x y z"]
Pairs = Bool[np.ndarray, "lesions components"]

LEAST_IOU = 0.1
LESIONS, FOUND, TRUE, FALSE = range(4)
"""Last axis of counts: lesions, those that are hit, components that hit a lesion, components that hit none."""


def lesion_counts(
    predicted: Mask, truth: ScanTruth, hits: Sequence[Hit], sizes: Sequence[float]
) -> Int[np.ndarray, "hits sizes 4"]:
    """Counts of one mask by hit rule and minimal size. `predicted`: on the box of the brain, in the scored brain.

    `sizes`: ml of the scan's own space. Lesions and components under it do not count; a component that hits such a
    lesion is neither true nor false.
    """
    labels, count = components.label(predicted)
    voxel_ml = truth.lesions.voxel_ml
    lesions, predictions = truth.lesions.ml, components.sizes(labels, count) * voxel_ml
    shared = _shared(truth, labels, count) * voxel_ml
    found = np.zeros((len(hits), len(sizes), 4), dtype=np.int64)
    for i, hit in enumerate(hits):
        pairs = _pairs(hit, shared, lesions, predictions, truth, labels)
        for j, size in enumerate(sizes):
            counted = lesions >= size
            true = pairs[counted].any(axis=0)
            false = ~pairs.any(axis=0) & (predictions >= size)
            found[i, j] = counted.sum(), pairs[counted].any(axis=1).sum(), true.sum(), false.sum()
    return found


def _shared(truth: ScanTruth, labels: Int[np.ndarray, "x y z"], count: int) -> Int[np.ndarray, "lesions components"]:
    """Voxels that each lesion shares with each component."""
    lesions = len(truth.lesions.ml)
    inside = (truth.lesions.labels > 0) & (labels > 0)
    pairs = (truth.lesions.labels[inside] - 1) * count + labels[inside] - 1
    return np.bincount(pairs, minlength=lesions * count).reshape(lesions, count)


def _pairs(
    hit: Hit,
    shared: Float[np.ndarray, "lesions components"],
    lesions: Float[np.ndarray, "lesions"],
    predictions: Float[np.ndarray, "components"],
    truth: ScanTruth,
    labels: Int[np.ndarray, "x y z"],
) -> Pairs:
    """Which component hits which lesion. `shared`, `lesions`, `predictions`: in ml."""
    match hit:
        case "iou":
            union = lesions[:, None] + predictions - shared
            return _one_to_one(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))
        case "centroid":
            found = np.zeros(shared.shape, dtype=bool)
            if predictions.size:
                at = truth.lesions.labels[_centres(labels, len(predictions))]
                inside = np.flatnonzero(at)
                found[at[inside] - 1, inside] = True
            return found
        case "any":
            return shared > 0


def _centres(labels: Int[np.ndarray, "x y z"], count: int) -> tuple[Int[np.ndarray, "components"], ...]:
    """The voxel at the centre of gravity of each component, as indices along the axes."""
    voxels = np.nonzero(labels)
    of_component = labels[voxels] - 1
    sizes = np.bincount(of_component, minlength=count)
    return tuple(np.rint(np.bincount(of_component, axis, count) / sizes).astype(np.intp) for axis in voxels)


def _one_to_one(iou: Float[np.ndarray, "lesions components"]) -> Pairs:
    """Pairs above the least IoU, the best first, each lesion and each component once."""
    found = np.zeros(iou.shape, dtype=bool)
    rows, columns = np.nonzero(iou > LEAST_IOU)
    for place in np.argsort(-iou[rows, columns], kind="stable"):
        row, column = rows[place], columns[place]
        if not found[row].any() and not found[:, column].any():
            found[row, column] = True
    return found
