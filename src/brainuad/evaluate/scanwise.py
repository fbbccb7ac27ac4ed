"""Scan by scan: how well the anomaly score tells scans that are not healthy from those that are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from brainuad.evaluate.voxelwise import Sweep

Scores = Float[np.ndarray, "n"]


def auroc(
    scores: Scores, ill: Bool[np.ndarray, "n"], weights: Float[np.ndarray, "*resamples n"]
) -> Float[np.ndarray, "*resamples"]:
    """Area under the ROC curve of the scores, each scan counted by its weight; NaN where either kind is missing."""
    pairs = np.sign(scores[ill][:, None] - scores[~ill][None]) / 2 + 0.5  # ties count half
    sick, well = weights[..., ill], weights[..., ~ill]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = sick.sum(axis=-1) * well.sum(axis=-1)
        return np.asarray(((sick @ pairs) * well).sum(axis=-1) / total)


def average_precision(
    scores: Scores, ill: Bool[np.ndarray, "n"], weights: Float[np.ndarray, "*resamples n"]
) -> Float[np.ndarray, "*resamples"]:
    """Area under the precision-recall curve, equal scores one step, each scan counted by its weight; NaN as `auroc`."""
    level = np.unique(scores, return_inverse=True)[1]
    place = np.eye(int(level.max(initial=-1)) + 1)[level]
    sweep = Sweep.of((weights * ill) @ place, (weights * ~ill) @ place)
    return np.where((weights * ~ill).sum(axis=-1) > 0, sweep.auprc(), np.nan)


def youden(scores: Scores, ill: Bool[np.ndarray, "n"]) -> tuple[float, float, float]:
    """Cut with the best sensitivity + specificity - 1, and both there: an oracle, as it sees the test labels.

    Scans with a score of the cut or more are called ill; of equals the highest cut.
    """
    cuts = np.unique(scores)[::-1]
    sensitivity = (scores[ill][None] >= cuts[:, None]).mean(axis=1)
    specificity = (scores[~ill][None] < cuts[:, None]).mean(axis=1)
    best = int(np.argmax(sensitivity + specificity))
    return float(cuts[best]), float(sensitivity[best]), float(specificity[best])
