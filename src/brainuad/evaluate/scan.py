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
Volume = Float[np.ndarray, "x y z"]


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
    site: str
    """Site or scanner; empty where unknown."""
    lesion_type: str
    """Type of its artificial anomaly or corruption, or types of its lesions, joined by `;`; else empty."""
    corrupted: bool
    """Whether the scan as a whole is bad, and no voxel of it is labelled."""
    brain_ml: float
    """The scored brain, in the scan's own space."""
    lesion_ml: float
    """In and outside the scored brain, in the scan's own space."""
    lesion_share_outside: float
    """Share of the lesion outside the scored brain; NaN without lesions."""
    dice_ceiling: float
    """The best Dice that a mask in the scored brain can reach; NaN without lesions."""
    lesions: int
    """Of a counted size."""
    missing: str = ""
    """Sequences that the session lacks, joined by `;`."""


@dataclass(frozen=True)
class ScanTruth:
    """A scan's scored brain and lesions, on the `box` of both."""

    box: tuple[slice, slice, slice]
    scored: Mask
    lesion: Mask
    """In and outside the scored brain, but for ignored voxels."""
    lost: int
    """Its voxels outside the scored brain, which count as missed; 1 for a mask that lost all its voxels on the way."""
    normal: int
    """Voxels of the scored brain that are no lesion."""
    lesions: lesionwise.Lesions
    facts: ScanFacts

    @property
    def voxels(self) -> int:
        """Those of the lesion, lost ones included."""
        return int(self.lesion.sum()) or self.lost


def scan_truth(
    scan: Scan, brain: Mask, lesion: Mask, voxel_ml: float, settings: Evaluate, ignored: Mask | None = None
) -> ScanTruth:
    """Prepare a scan for scoring. `brain`, `lesion`: on the whole grid; `voxel_ml`: volume of a voxel of the grid.

    `ignored`: what is neither lesion nor healthy, and so no part of the scored brain; a scan with any is not healthy.
    """
    found = lesion if ignored is None else lesion & ~ignored
    box = components.box(brain | found, margin=1)
    scored = voxelwise.scored_brain(brain[box], settings.erode_voxels)
    if ignored is not None:
        scored = scored & ~ignored[box]
    lesion, own_ml = found[box], voxel_ml * scan.own_volume
    voxels, inside = int(lesion.sum()), int((lesion & scored).sum())
    # a mask that lost its voxels in preprocessing keeps its path, and the scan is not healthy all the same
    pathology = voxels > 0 or scan.mask or scan.unmarked or scan.ignore or (ignored is not None and ignored.any())
    lesions = lesionwise.label_lesions(lesion, scored, own_ml)
    outside = _share_outside(scan, voxels, inside)
    facts = ScanFacts(
        scan=scan.scan,
        subject=scan.subject,
        person=scan.person,
        healthy=not pathology and not scan.corrupted,
        unmarked=bool(scan.unmarked),
        site=scan.site,
        lesion_type=scan.lesion_type,
        corrupted=bool(scan.corrupted),
        brain_ml=int(scored.sum()) * own_ml,
        lesion_ml=voxels * own_ml,
        lesion_share_outside=outside,
        dice_ceiling=2 * (1 - outside) / (2 - outside),
        lesions=int((lesions.ml >= settings.min_lesion_ml).sum()),
        missing=scan.missing,
    )
    lost = voxels - inside if voxels else int(outside == 1)
    return ScanTruth(box, scored, lesion, lost, int(scored.sum()) - inside, lesions, facts)


def _share_outside(scan: Scan, lesion: int, scored: int) -> float:
    """From the voxels of the lesion and those of them that are scored."""
    if lesion:
        return 1 - scored / lesion
    return 1.0 if scan.mask and not scan.unmarked else np.nan


def map_values(anomaly: Volume, truth: ScanTruth) -> MapValues:
    """The values of a map of the whole grid in and outside lesions."""
    part = anomaly[truth.box]
    lesion, normal = np.sort(part[truth.scored & truth.lesion]), np.sort(part[truth.scored & ~truth.lesion])
    return MapValues(lesion, normal, *voxelwise.scan_areas(lesion, normal, truth.lost), truth.lost)


def count_mask(mask: Mask, anomaly: Volume, truth: ScanTruth, settings: Evaluate) -> MaskCounts:
    """Count a predicted mask against the lesions. `mask`, and `anomaly`, the map behind it: of the whole grid."""
    predicted, lesion, ml = mask[truth.box] & truth.scored, truth.lesion, truth.lesions.voxel_ml
    in_slices = [part.sum(axis=(0, 1)) for part in (predicted & lesion, predicted, lesion)]
    true_positives, predicted_voxels, lesion_voxels = in_slices
    with_lesion = lesion_voxels > 0
    dice = (2 * true_positives[with_lesion]) / (predicted_voxels + lesion_voxels)[with_lesion]
    counted = truth.lesions.ml >= settings.min_lesion_ml
    right, all_predicted = int(true_positives.sum()), int(predicted_voxels.sum())
    return MaskCounts(
        true_positives=right,
        predicted=all_predicted,
        lesion=truth.voxels,
        normal=truth.normal,
        predicted_ml=all_predicted * ml,
        lesion_ml=truth.facts.lesion_ml,
        false_ml=(all_predicted - right) * ml,
        slice_dice=float(dice.sum()),
        slices=int(with_lesion.sum()),
        lesions_ml=truth.lesions.ml[counted],
        lesions_outside=truth.lesions.outside[counted],
        found=lesionwise.find(truth.lesions, predicted, anomaly[truth.box], settings),
    )
