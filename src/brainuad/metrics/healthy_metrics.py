"""Metrics of predicted masks in healthy scans: the rate of false positives that a threshold really has.

The rate that a rule aims at is that of the map above the threshold; mask operators come after it.
"""

from __future__ import annotations

import numpy as np

from brainuad.metrics.evidence import HealthyMasks
from brainuad.metrics.registry import Estimate, metric


@metric(HealthyMasks, label="nominal voxel FPR", direction="neither")
def nominal_fpr(masks: HealthyMasks) -> Estimate | None:
    """The share of healthy voxels above the threshold that its rule aims at; absent where it aims at none."""
    return None if np.isnan(masks.nominal) else Estimate(masks.nominal, n=len(masks.shares))


@metric(HealthyMasks, label="voxel FPR per healthy scan", direction="lower")
def healthy_fpr(masks: HealthyMasks) -> Estimate:
    """Share of the scored voxels of each healthy scan that is predicted, mean over people: beside `nominal_fpr`."""
    return masks.patients.mean(masks.shares)


@metric(HealthyMasks, label="lowest voxel FPR of a healthy scan", direction="lower")
def healthy_fpr_min(masks: HealthyMasks) -> Estimate:
    """The lowest of these shares."""
    return Estimate(float(masks.shares.min()), n=len(masks.shares))


@metric(HealthyMasks, label="highest voxel FPR of a healthy scan", direction="lower")
def healthy_fpr_max(masks: HealthyMasks) -> Estimate:
    """The highest of these shares."""
    return Estimate(float(masks.shares.max()), n=len(masks.shares))


@metric(HealthyMasks, name="healthy_fpr_<site>", label="voxel FPR per healthy scan", direction="lower")
def healthy_fpr_by_site(masks: HealthyMasks) -> Estimate:
    """`healthy_fpr` of the scans of one site or scanner, where a data set names several."""
    return healthy_fpr(masks)


@metric(HealthyMasks, label="most false positives of a healthy scan", direction="lower", unit="ml")
def healthy_fp_ml_max(masks: HealthyMasks) -> Estimate:
    """The largest predicted volume of a healthy scan, in its own space; `fp_ml_per_scan` is the mean."""
    return Estimate(float(masks.ml.max()), n=len(masks.ml))
