"""Metrics of the surface of each scan's predicted mask, for each threshold rule; `metrics.tsv` has the mean."""

from __future__ import annotations

import numpy as np

from brainuad.metrics.evidence import ScanMaskEvidence
from brainuad.metrics.registry import metric


@metric(ScanMaskEvidence, label="NSD", direction="higher")
def nsd(scan: ScanMaskEvidence) -> float:
    """Normalised surface distance: share of both surfaces within `surface_tolerance_mm` of the other.

    Mean over patients; 0 where nothing is predicted; scans without lesion are excluded.
    """
    predicted, lesion = scan.surfaces
    if predicted is None or lesion is None:
        return np.nan if lesion is None else 0.0
    near = predicted.near(lesion, scan.tolerance_mm) + lesion.near(predicted, scan.tolerance_mm)
    return near / (len(predicted.points) + len(lesion.points))


@metric(ScanMaskEvidence, label="HD95", direction="lower", unit="mm")
def hd95(scan: ScanMaskEvidence) -> float:
    """95th percentile of the distances between the surfaces (Hausdorff), the larger of both ways.

    Mean over patients. Where nothing is predicted, the diagonal of the box of brain and lesions; scans without lesion
    are excluded.
    """
    predicted, lesion = scan.surfaces
    if predicted is None or lesion is None:
        return np.nan if lesion is None else scan.diagonal_mm
    return max(predicted.distance(lesion, 95), lesion.distance(predicted, 95))
