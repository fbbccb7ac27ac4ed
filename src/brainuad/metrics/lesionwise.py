"""Lesion by lesion: how much of each lesion is predicted, and predictions where no lesion is. 26 neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from brainuad.images import components

Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Lesions:
    """The lesions of a scan. `labels`: 1 to n, in the scored brain; `ml`: their volumes there, largest first.

    Volumes are those on the grid, in the template's space.
    """

    labels: Int[np.ndarray, "x y z"]
    ml: Float[np.ndarray, "n"]
    voxel_ml: float


def label_lesions(lesion: Mask, scored: Mask, voxel_ml: float) -> Lesions:
    """Number the components of the lesion mask, largest first; those that lie wholly outside `scored` are excluded.

    A lesion that the rim of the scored brain cuts in two stays one.
    """
    labels, count = components.label(lesion)
    inside = np.where(scored, labels, 0)
    sizes = components.sizes(inside, count)
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, dtype=labels.dtype)
    rank[order + 1] = np.arange(1, count + 1)
    return Lesions(rank[inside], sizes[order][: int((sizes > 0).sum())] * voxel_ml, voxel_ml)


def overlaps(lesions: Lesions, predicted: Mask) -> Float[np.ndarray, "n"]:
    """The share of each lesion that is predicted."""
    count = len(lesions.ml)
    whole = components.sizes(lesions.labels, count)
    return components.sizes(np.where(predicted, lesions.labels, 0), count) / whole


def false_positives(predicted: Mask, lesion: Mask, min_voxels: int) -> int:
    """Predicted components of at least `min_voxels` voxels that overlap no lesion."""
    labels, count = components.label(predicted)
    false = components.sizes(labels, count) >= min_voxels
    overlapping = np.unique(labels[lesion])
    false[overlapping[overlapping > 0] - 1] = False
    return int(false.sum())
