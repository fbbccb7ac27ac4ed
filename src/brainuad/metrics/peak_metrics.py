"""Metrics of the location of the maximum anomaly (Chatterjee 2021)."""

from __future__ import annotations

import numpy as np

from brainuad.metrics.evidence import PeakEvidence
from brainuad.metrics.registry import Estimate, metric


@metric(PeakEvidence, label="peak hit rate", direction="higher")
def peak_hit_rate(peaks: PeakEvidence) -> Estimate | None:
    """Share of scans with lesions where the highest value of the map is in or near one, mean over patients.

    If the postprocessing leaves one component, the search is bound to it, and the row bears its threshold rule.
    """
    return peaks.patients.mean(peaks.hits) if np.isfinite(peaks.hits).any() else None
