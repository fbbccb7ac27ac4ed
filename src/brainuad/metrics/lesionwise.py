"""Lesion by lesion: which lesions are found, by which predicted components, and what else is predicted.

Components have 26 neighbours. A lesion and a component are a pair if they fit by the rule of `evaluate.matching`; each
belongs to one pair at most. Volumes are millilitres of the scan's own space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize

from brainuad.config.evaluate import Evaluate, Matching
from brainuad.images import components

Mask = Bool[np.ndarray, "x y z"]
Volume = Float[np.ndarray, "x y z"]


MOST_SMALL = 200
"""Groups of components that are too small to count."""


@dataclass(frozen=True)
class Lesions:
    """The lesions of a scan, in and outside the scored brain, largest first. `labels`: 1 to n."""

    labels: Int[np.ndarray, "x y z"]
    voxels: Int[np.ndarray, "n"]
    outside: Float[np.ndarray, "n"]
    """Share of each outside the scored brain."""
    voxel_ml: float

    @property
    def ml(self) -> Float[np.ndarray, "n"]:
        """Their volumes."""
        return self.voxels * self.voxel_ml


@dataclass(frozen=True)
class Found:
    """What a predicted mask makes of the lesions of a counted size, and its components."""

    overlaps: Float[np.ndarray, "n"]
    """The share of each lesion that is predicted."""
    detected: Bool[np.ndarray, "n"]
    """Whether it is one of a pair."""
    scores: Float[np.ndarray, "n"]
    """The highest value of the map in the component that detects it; -inf for a missed lesion."""
    component_scores: Float[np.ndarray, "m"]
    """The same for each component; those too small to count, of which a noisy map has tens of thousands, stand in
    groups of similar scores."""
    component_false: Bool[np.ndarray, "m"]
    """Whether it is of a counted size and belongs to no lesion; one that belongs to a lesion too small to count is
    neither right nor wrong."""
    component_false_ml: Float[np.ndarray, "m"]
    """Its volume outside lesions."""


def label_lesions(lesion: Mask, scored: Mask, voxel_ml: float) -> Lesions:
    """Number the components of the lesion mask, largest first.

    A lesion that the rim of the scored brain cuts in two stays one.
    """
    box = components.box(lesion)
    labels, count = components.label(lesion[box])
    sizes = components.sizes(labels, count)
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[order + 1] = np.arange(1, count + 1)
    ranked = np.zeros(lesion.shape, dtype=np.int32)
    ranked[box] = rank[labels]
    outside = components.sizes(np.where(scored[box], 0, ranked[box]), count) / sizes[order]
    return Lesions(ranked, sizes[order], outside, voxel_ml)


@dataclass(frozen=True)
class Components:
    """The components of a predicted mask, from 0, beside the lesions of its scan; every rule pairs from these."""

    voxels: Int[np.ndarray, "m"]
    """Of each component. `in_lesions`: those of them in lesions."""
    in_lesions: Float[np.ndarray, "m"]
    scores: Float[np.ndarray, "m"]
    """The highest value of the map in each."""
    overlaps: Float[np.ndarray, "n"]
    """The share of each lesion that is predicted."""
    shared: tuple[Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"], Int[np.ndarray, "pairs"]]
    """Component, lesion, and how many voxels they share, where they share any."""
    around: Int[np.ndarray, "m"]
    """The lesion in which the centre of mass of each lies, in the nearest voxel; -1 for none."""


def components_beside(lesions: Lesions, predicted: Mask, anomaly: Volume) -> Components:
    """The components of a predicted mask. `predicted`: in the scored brain; `anomaly`: the map."""
    box = components.box(predicted)
    labels, count = components.label(predicted[box])
    voxels = np.flatnonzero(labels)
    component = labels.ravel()[voxels] - 1
    lesion = lesions.labels[box].ravel()[voxels]
    sizes = np.bincount(component, minlength=count)
    scores = np.full(count, -np.inf)
    np.maximum.at(scores, component, anomaly[box].ravel()[voxels])
    hit = lesion > 0
    keys, shared = np.unique(component[hit] * len(lesions.voxels) + lesion[hit] - 1, return_counts=True)
    first, second = np.divmod(keys, max(len(lesions.voxels), 1))
    places = np.unravel_index(voxels, labels.shape)
    centres = [np.bincount(component, weights=axis, minlength=count) / sizes for axis in places]
    return Components(
        voxels=sizes,
        in_lesions=np.bincount(component, weights=hit, minlength=count),
        scores=scores,
        overlaps=np.bincount(lesion, minlength=len(lesions.voxels) + 1)[1:] / lesions.voxels,
        shared=(first, second, shared),
        around=lesions.labels[box][tuple(np.rint(axis).astype(np.intp) for axis in centres)] - 1,
    )


def find(lesions: Lesions, predicted: Mask, anomaly: Volume, settings: Evaluate) -> Found:
    """Pair the components of a predicted mask with the lesions; see `components_beside` and `paired`."""
    return paired(lesions, components_beside(lesions, predicted, anomaly), settings)


def paired(lesions: Lesions, predicted: Components, settings: Evaluate) -> Found:
    """Pair components with lesions.

    Of all ways to pair them, that with the most lesions of a counted size, then with the most lesions, then with the
    largest sum of intersections over unions.
    """
    counted = lesions.ml >= settings.min_lesion_ml
    of_component, of_lesion = _matched(_pairs(lesions, predicted, settings.matching), counted)
    false = predicted.voxels * lesions.voxel_ml >= settings.min_component_ml
    false[of_component] = False
    detector = np.full(len(counted), -np.inf)
    detector[of_lesion] = predicted.scores[of_component]
    false_ml = (predicted.voxels - predicted.in_lesions) * lesions.voxel_ml
    kept = false.copy()
    kept[of_component] = True
    small_scores, small_ml = _in_groups(predicted.scores[~kept], false_ml[~kept])
    return Found(
        overlaps=predicted.overlaps[counted],
        detected=np.isfinite(detector)[counted],
        scores=detector[counted],
        component_scores=np.concatenate([predicted.scores[kept], small_scores]),
        component_false=np.concatenate([false[kept], np.zeros(len(small_ml), dtype=bool)]),
        component_false_ml=np.concatenate([false_ml[kept], small_ml]),
    )


def _in_groups(scores: Float[np.ndarray, "m"], ml: Float[np.ndarray, "m"]) -> tuple[np.ndarray, np.ndarray]:
    """The highest score and the summed volume of up to `MOST_SMALL` groups of components with similar scores."""
    if len(scores) <= MOST_SMALL:
        return scores, ml
    order = np.argsort(-scores, kind="stable")
    starts = np.linspace(0, len(scores), MOST_SMALL, endpoint=False).astype(np.intp)
    return scores[order][starts], np.add.reduceat(ml[order], starts)


@dataclass(frozen=True)
class _Pairs:
    """Components and lesions, from 0, that fit, and their intersection over union."""

    component: Int[np.ndarray, "pairs"]
    lesion: Int[np.ndarray, "pairs"]
    iou: Float[np.ndarray, "pairs"]


def _pairs(lesions: Lesions, predicted: Components, matching: Matching) -> _Pairs:
    """Components and lesions that fit by the rule."""
    component, lesion, shared = predicted.shared
    iou = shared / (predicted.voxels[component] + lesions.voxels[lesion] - shared)
    if matching.rule == "centroid":
        (inside,) = np.nonzero(predicted.around >= 0)
        around, of_pair = predicted.around[inside], dict(zip(zip(component, lesion, strict=True), iou, strict=True))
        return _Pairs(inside, around, np.array([of_pair.get(pair, 0.0) for pair in zip(inside, around, strict=True)]))
    fit = iou > matching.iou if matching.rule == "iou" else np.ones(len(iou), dtype=bool)
    return _Pairs(component[fit], lesion[fit], iou[fit])


def _matched(
    pairs: _Pairs, counted: Bool[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "matched"], Int[np.ndarray, "matched"]]:
    """The best one-to-one choice among the pairs: components and lesions, in the same order."""
    rows, row = np.unique(pairs.component, return_inverse=True)
    columns, column = np.unique(pairs.lesion, return_inverse=True)
    most = min(len(rows), len(columns)) + 1.0
    gain = np.zeros((len(rows), len(columns)))
    gain[row, column] = most**2 * counted[pairs.lesion] + most + pairs.iou
    chosen = optimize.linear_sum_assignment(gain, maximize=True)
    fit = gain[chosen] > 0
    return rows[chosen[0][fit]], columns[chosen[1][fit]]
