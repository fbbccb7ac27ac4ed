"""Metrics of the location of the maximum anomaly (Chatterjee 2021)."""

from __future__ import annotations

import numpy as np

from brainuad.metrics.evidence import PeakEvidence
from brainuad.metrics.registry import Estimate, metric


@metric(PeakEvidence, label="peak hit rate", direction="higher")
def peak_hit_rate(peaks: PeakEvidence) -> Estimate | None:
    """Share of scans with lesions where the highest value of the map lies in or near one, mean over patients.

    Under the name of a threshold rule where the postprocessing leaves one component, in which it is then sought.
    """
    return peaks.patients.mean(peaks.hits) if np.isfinite(peaks.hits).any() else None
