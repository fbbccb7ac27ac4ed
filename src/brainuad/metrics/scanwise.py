"""Scan by scan: how well the anomaly score separates abnormal scans from healthy ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from brainuad.metrics.voxelwise import Sweep

Scores = Float[np.ndarray, "n"]


def auroc(
    scores: Scores, abnormal: Bool[np.ndarray, "n"], weights: Float[np.ndarray, "*resamples n"]
) -> Float[np.ndarray, "*resamples"]:
    """Area under the ROC curve of the scores, each scan counted by its weight; NaN where either class is missing."""
    pairs = np.sign(scores[abnormal][:, None] - scores[~abnormal][None]) / 2 + 0.5  # ties count half
    positive, negative = weights[..., abnormal], weights[..., ~abnormal]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = positive.sum(axis=-1) * negative.sum(axis=-1)
        return np.asarray(((positive @ pairs) * negative).sum(axis=-1) / total)


def roc(scores: Scores, abnormal: Bool[np.ndarray, "n"]) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
    """1 - specificity and sensitivity of each threshold, from (0, 0) to (1, 1); both classes must be there."""
    levels = np.unique(scores)[::-1, None]
    false, right = ((scores[chosen][None] >= levels).mean(axis=1) for chosen in (~abnormal, abnormal))
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], right])


def average_precision(
    scores: Scores, abnormal: Bool[np.ndarray, "n"], weights: Float[np.ndarray, "*resamples n"]
) -> Float[np.ndarray, "*resamples"]:
    """Area under the precision-recall curve, equal scores one step, each scan counted by its weight; NaN as `auroc`."""
    level = np.unique(scores, return_inverse=True)[1]
    place = np.eye(int(level.max(initial=-1)) + 1)[level]
    sweep = Sweep.of((weights * abnormal) @ place, (weights * ~abnormal) @ place)
    return np.where((weights * ~abnormal).sum(axis=-1) > 0, sweep.auprc(), np.nan)


def youden(scores: Scores, abnormal: Bool[np.ndarray, "n"]) -> tuple[float, float, float]:
    """Threshold with the best sensitivity + specificity - 1, and both there: an oracle, as it sees the test labels.

    Scans with a score at the threshold or above are called abnormal; of equals the highest threshold.
    """
    thresholds = np.unique(scores)[::-1]
    sensitivity = (scores[abnormal][None] >= thresholds[:, None]).mean(axis=1)
    specificity = (scores[~abnormal][None] < thresholds[:, None]).mean(axis=1)
    best = int(np.argmax(sensitivity + specificity))
    return float(thresholds[best]), float(sensitivity[best]), float(specificity[best])
