"""Settings of the scores."""

from __future__ import annotations

from pydantic import Field

from brainuad.config.section import Section


class Evaluate(Section):
    """How anomaly maps and predicted masks are scored."""

    erode_voxels: int = Field(1, ge=0)
    """The brain mask loses a rim of this depth before scoring; lesion voxels in the rim are not scored, and their share
    is reported."""
    bootstrap_resamples: int = Field(1000, ge=100)
    """Resamples of patients behind each 95 % interval."""
    min_lesion_ml: float = Field(0.08, ge=0)
    """Smaller lesions do not count in lesion recall; volume in the template's space, in ml."""
    detection_overlap: float = Field(0.1, gt=0, le=1)
    """Share of a lesion that must be predicted for it to count as detected."""
    min_component_voxels: int = Field(10, ge=1)
    """Smaller predicted components are not counted as false positives."""
    peak_distance_mm: float = Field(5.0, ge=0)
    """The highest value of a map hits a lesion if it lies in one or within this distance of one."""
    scan_threshold_quantile: float = Field(0.87, gt=0, lt=1)
    """Quantile of the scores of healthy validation scans above which a scan is called abnormal; 0.87 is the specificity
    that Simarro Viana 2020 reports."""
