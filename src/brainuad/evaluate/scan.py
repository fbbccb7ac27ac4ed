"""What is counted in one scan: its lesions once, then its map and its masks for each postprocessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.evaluate import Evaluate
from brainuad.formats.scans import Scan
from brainuad.images import components
from brainuad.metrics import lesionwise, voxelwise
from brainuad.metrics.evidence import MaskCounts
from brainuad.metrics.pooled import MapValues

Mask = Bool[np.ndarray, "x y z"]
Values = Float[np.ndarray, "n"]


@dataclass(frozen=True)
class ScanFacts:
    """What a scan holds, whatever a model predicts in it: columns of `scans.tsv`."""

    scan: str
    subject: str
    person: str
    """The subject's label across data sets."""
    healthy: bool
    """Whether it holds neither lesion nor other pathology, scored or not, and is not corrupted."""
    unmarked: bool
    """Whether it is a patient's, and the lesion mask marks nothing."""
    lesion_type: str
    """Type of its artificial anomaly or corruption, or types of its lesions, joined by `;`; else empty."""
    corrupted: bool
    """Whether the scan as a whole is bad, and no voxel of it is labelled."""
    brain_ml: float
    """The scored brain, in the scan's own space."""
    lesion_ml: float
    """In the scored brain, in the scan's own space."""
    lesion_share_outside: float
    """Share of the lesion outside the scored brain; NaN without lesions."""
    lesions: int
    """Of a counted size."""


@dataclass(frozen=True)
class ScanTruth:
    """A scan's scored brain and lesions, on the `box` of its brain."""

    box: tuple[slice, slice, slice]
    scored: Mask
    lesion: Mask
    """In and outside the scored brain."""
    scored_lesion: Mask
    """In the scored brain."""
    lesions: lesionwise.Lesions
    own_volume: float
    """Factor from a volume on the grid to the scan's own space."""
    facts: ScanFacts


def scan_truth(
    scan: Scan, brain: Mask, lesion: Mask, voxel_ml: float, settings: Evaluate, ignored: Mask | None = None
) -> ScanTruth:
    """Prepare a scan for scoring. `brain`, `lesion`: on the whole grid; `voxel_ml`: volume of a voxel of the grid.

    `ignored`: what is neither lesion nor healthy, and so no part of the scored brain; a scan with any is not healthy.
    """
    box = components.box(brain, margin=1)
    scored = voxelwise.scored_brain(brain[box], settings.erode_voxels)
    if ignored is not None:
        scored = scored & ~ignored[box]
    scored_lesion, voxels = lesion[box] & scored, int(lesion.sum())
    # a mask that lost its voxels in preprocessing keeps its path, and the scan is not healthy all the same
    pathology = voxels > 0 or scan.mask or scan.unmarked or scan.ignore or (ignored is not None and ignored.any())
    lesions = lesionwise.label_lesions(lesion[box], scored, voxel_ml)
    facts = ScanFacts(
        scan=scan.scan,
        subject=scan.subject,
        person=scan.person,
        healthy=not pathology and not scan.corrupted,
        unmarked=bool(scan.unmarked),
        lesion_type=scan.lesion_type,
        corrupted=bool(scan.corrupted),
        brain_ml=int(scored.sum()) * voxel_ml * scan.own_volume,
        lesion_ml=int(scored_lesion.sum()) * voxel_ml * scan.own_volume,
        lesion_share_outside=_share_outside(scan, voxels, int(scored_lesion.sum())),
        lesions=int((lesions.ml >= settings.min_lesion_ml).sum()),
    )
    return ScanTruth(box, scored, lesion[box], scored_lesion, lesions, scan.own_volume, facts)


def _share_outside(scan: Scan, lesion: int, scored: int) -> float:
    """From the voxels of the lesion and those of them that are scored."""
    if lesion:
        return 1 - scored / lesion
    return 1.0 if scan.mask and not scan.unmarked else np.nan


def map_values(anomaly: Float[np.ndarray, "x y z"], truth: ScanTruth) -> MapValues:
    """The values of a map of the whole grid in and outside lesions."""
    part = anomaly[truth.box]
    lesion, normal = np.sort(part[truth.scored_lesion]), np.sort(part[truth.scored & ~truth.lesion])
    return MapValues(lesion, normal, *voxelwise.scan_areas(lesion, normal))


def count_mask(mask: Mask, truth: ScanTruth, settings: Evaluate) -> MaskCounts:
    """Count a predicted mask of the whole grid against the lesions."""
    predicted, lesion = mask[truth.box] & truth.scored, truth.scored_lesion
    in_slices = [part.sum(axis=(0, 1)) for part in (predicted & lesion, predicted, lesion)]
    true_positives, predicted_voxels, lesion_voxels = in_slices
    with_lesion = lesion_voxels > 0
    dice = (2 * true_positives[with_lesion]) / (predicted_voxels + lesion_voxels)[with_lesion]
    counted = truth.lesions.ml >= settings.min_lesion_ml
    return MaskCounts(
        true_positives=int(true_positives.sum()),
        predicted=int(predicted_voxels.sum()),
        predicted_ml=int(predicted_voxels.sum()) * truth.lesions.voxel_ml * truth.own_volume,
        lesion=int(lesion_voxels.sum()),
        normal=int(truth.scored.sum() - lesion_voxels.sum()),
        slice_dice=float(dice.sum()),
        slices=int(with_lesion.sum()),
        overlaps=lesionwise.overlaps(truth.lesions, predicted)[counted],
        lesions_ml=truth.lesions.ml[counted] * truth.own_volume,
        false_positives=lesionwise.false_positives(predicted, truth.lesion, settings.min_component_voxels),
    )
