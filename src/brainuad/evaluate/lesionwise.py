"""Lesion by lesion: which lesions are found, and what is marked where there is none. Components have 26 neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from brainuad.images import components

Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Lesions:
    """The lesions of a scan. `labels`: 1 to n, in the scored brain; `ml`: their volumes there, largest first."""

    labels: Int[np.ndarray, "x y z"]
    ml: Float[np.ndarray, "n"]
    voxel_ml: float


def lesions(truth: Mask, scored: Mask, voxel_ml: float) -> Lesions:
    """Number the components of the lesion mask, largest first; those that lie wholly outside `scored` are left out.

    A lesion that the rim of the scored brain cuts in two stays one.
    """
    labels, count = components.label(truth)
    inside = np.where(scored, labels, 0)
    sizes = components.sizes(inside, count)
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, dtype=labels.dtype)
    rank[order + 1] = np.arange(1, count + 1)
    return Lesions(rank[inside], sizes[order][: int((sizes > 0).sum())] * voxel_ml, voxel_ml)


def shares_marked(found: Lesions, marked: Mask) -> Float[np.ndarray, "n"]:
    """The share of each lesion that is marked."""
    count = len(found.ml)
    whole = components.sizes(found.labels, count)
    return components.sizes(np.where(marked, found.labels, 0), count) / whole


def false_positives(marked: Mask, truth: Mask, smallest: int) -> int:
    """Marked components of at least `smallest` voxels that overlap no lesion."""
    labels, count = components.label(marked)
    wrong = components.sizes(labels, count) >= smallest
    touched = np.unique(labels[truth])
    wrong[touched[touched > 0] - 1] = False
    return int(wrong.sum())
