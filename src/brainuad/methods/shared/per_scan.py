"""Maps in units of their own scan, and one map from several: pure functions on arrays.

Median and MAD need no calibration scans and hold the false-positive rate on other scanners; in exchange, a large lesion
widens the MAD and lowers the values of its own scan. Source: docs/methods/ensemble.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from brainuad.config.model import Combination
from brainuad.methods.base import Brain, Image

SD_PER_MAD = 1.4826
"""Sd of a normal distribution with a median absolute deviation of 1."""
SD_PER_MEAN_DEVIATION = 1.2533
"""The same for a mean absolute deviation of 1."""
SOFTENING = 2.0
"""Values far above this many sds grow as their logarithm under `mean_asinh`."""


def robust_z(anomaly: Image, brain: Brain, scored: Brain) -> Image:
    """(map - median) / (1.4826 MAD) in the brain, 0 outside; float32. Median and MAD are those of the voxels `scored`.

    Where more than half of these are equal, so that the MAD is 0, the mean absolute deviation takes its place; a
    constant map, and one without scored voxels, becomes 0.
    """
    values = anomaly[scored].astype(np.float64)
    z = np.zeros(anomaly.shape, np.float32)
    if not len(values):
        return z
    median = np.median(values)
    deviations = np.abs(values - median)
    sd = SD_PER_MAD * np.median(deviations) or SD_PER_MEAN_DEVIATION * deviations.mean()
    if sd > 0:
        z[brain] = (anomaly[brain] - median) / sd
    return z


def rank(anomaly: Image, brain: Brain, scored: Brain) -> Image:
    """Share of the voxels `scored` that a voxel of the brain exceeds, ties counted half: 0 to 1, 0 outside; float32."""
    values = np.sort(anomaly[scored])
    ranks = np.zeros(anomaly.shape, np.float32)
    if len(values):
        below, up_to = (np.searchsorted(values, anomaly[brain], side) for side in ("left", "right"))
        ranks[brain] = (below + up_to) / (2 * len(values))
    return ranks


def combined(
    maps: Sequence[Image],
    brain: Brain,
    scored: Brain,
    by: Combination,
    weights: Sequence[float] | None = None,
    softening: float = SOFTENING,
) -> Float[np.ndarray, "x y z"]:
    """One map from several of one scan, each first brought to units of the scan; float32, 0 outside the brain.

    `mean_asinh`: mean of asinh(z / `softening`) of the robust z; `rank`: mean rank less a half, so that the middle of
    the brain is 0; `maximum`: of the robust z. `weights` of the means need no sum of 1; the maximum takes none.
    """
    if by == "maximum":
        return np.max([robust_z(each, brain, scored) for each in maps], axis=0)
    total = np.zeros(brain.shape)
    for each, weight in zip(maps, weights or [1.0] * len(maps), strict=True):
        if by == "rank":
            total[brain] += weight * (rank(each, brain, scored)[brain] - 0.5)
        else:
            total += weight * np.arcsinh(robust_z(each, brain, scored) / softening)
    return (total / sum(weights or [len(maps)])).astype(np.float32)


def with_alone(
    mean: Image, alone: Sequence[tuple[Image, float]], brain: Brain, scored: Brain
) -> Float[np.ndarray, "x y z"]:
    """The largest of the robust z of `mean` and those of other maps, each times its factor; float32."""
    largest = robust_z(mean, brain, scored)
    for each, factor in alone:
        largest = np.maximum(largest, np.float32(factor) * robust_z(each, brain, scored))
    return largest
