"""Settings of the scores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from brainuad.config.section import Section


class Matching(Section):
    """When a predicted component and a lesion are a pair; each belongs to one pair at most."""

    rule: Literal["iou", "centroid", "any"] = "iou"
    """`iou`: their intersection over union is large enough. `centroid`: the component's centre of mass lies in the
    lesion. `any`: they share a voxel."""
    iou: float = Field(0.1, ge=0, lt=1)
    """Intersection over union that a pair of the rule `iou` must exceed."""


class Evaluate(Section):
    """How anomaly maps and predicted masks are scored."""

    space: Literal["template", "native"] = "template"
    """Where voxels are scored: on the template's grid, or on each scan's own with its lesion mask as it was drawn. Maps
    and masks are then resampled to that grid; thresholds are found on the template's all the same."""
    erode_voxels: int = Field(1, ge=0)
    """The brain mask loses a rim of this depth before scoring; lesion voxels in the rim count as missed, and their
    share is reported."""
    min_lesion_ml: float = Field(0.08, ge=0)
    """Smaller lesions are not counted lesion by lesion; volume in the scan's own space, in ml."""
    min_component_ml: float = Field(0.08, ge=0)
    """Smaller predicted components are not counted as false positives; volume in the scan's own space, in ml."""
    matching: Matching = Matching()
    """How predicted components detect lesions."""
    surface_tolerance_mm: float = Field(2.0, ge=0)
    """Distance within which the surfaces of predicted mask and lesion agree (`nsd`), in mm of the grid."""
    peak_distance_mm: float = Field(5.0, ge=0)
    """The highest value of a map hits a lesion if it lies in one or within this distance of one."""
    scan_threshold_quantile: float = Field(0.87, gt=0, lt=1)
    """Specificity that the threshold of scores is to have on healthy people on average, by split conformal prediction
    on healthy calibration scans (or validation scans); fewer than 7 people allow less than 0.87, the specificity that
    Simarro Viana 2020 reports."""
