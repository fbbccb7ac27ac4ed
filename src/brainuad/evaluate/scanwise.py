"""Scan by scan: how well the anomaly score tells scans with lesions from healthy ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

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


def youden(scores: Scores, ill: Bool[np.ndarray, "n"]) -> tuple[float, float, float]:
    """Cut with the best sensitivity + specificity - 1, and both there: an oracle, as it sees the test labels.

    Scans with a score of the cut or more are called ill; of equals the highest cut.
    """
    cuts = np.unique(scores)[::-1]
    sensitivity = (scores[ill][None] >= cuts[:, None]).mean(axis=1)
    specificity = (scores[~ill][None] < cuts[:, None]).mean(axis=1)
    best = int(np.argmax(sensitivity + specificity))
    return float(cuts[best]), float(sensitivity[best]), float(specificity[best])
