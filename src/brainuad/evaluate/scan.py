"""What is counted in one scan: its truth once, then its map and its masks for each chain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.study import Evaluate
from brainuad.evaluate import lesionwise, voxelwise
from brainuad.formats.scans import Scan
from brainuad.images import components

Mask = Bool[np.ndarray, "x y z"]
Values = Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Facts:
    """What a scan holds, whatever a model makes of it."""

    scan: str
    subject: str
    person: str
    """The subject, told apart from those of other data sets."""
    healthy: bool
    """Whether it holds neither lesion nor other pathology, scored or not, and is not corrupted."""
    lesion_type: str
    """Of its artificial anomaly, how it is corrupted, or of its lesions, joined by `;`; else empty."""
    corrupted: bool
    """Whether the scan as a whole is bad, and no voxel of it is labelled."""
    brain_ml: float
    """The scored brain."""
    lesion_ml: float
    """In the scored brain."""
    lesion_outside: float
    """Share of the lesion outside the scored brain; NaN without lesions."""
    lesions: int
    """Of a counted size."""


@dataclass(frozen=True)
class Truth:
    """A scan's scored brain and lesions, cut to the `box` of its brain."""

    box: tuple[slice, slice, slice]
    scored: Mask
    lesion: Mask
    """In and outside the scored brain."""
    inside: Mask
    """In the scored brain."""
    lesions: lesionwise.Lesions
    facts: Facts


def truth(
    scan: Scan, brain: Mask, lesion: Mask, voxel_ml: float, settings: Evaluate, ignored: Mask | None = None
) -> Truth:
    """Prepare a scan for scoring. `brain`, `lesion`: on the whole grid; `voxel_ml`: volume of a voxel.

    `ignored`: what is neither lesion nor healthy, and so no part of the scored brain; a scan with any is not healthy.
    """
    box = components.box(brain, margin=1)
    scored = voxelwise.scored_brain(brain[box], settings.erode_voxels)
    if ignored is not None:
        scored = scored & ~ignored[box]
    inside, whole = lesion[box] & scored, int(lesion.sum())
    # a mask that lost its voxels on the way keeps its path, and the scan is not healthy all the same
    marked = whole > 0 or scan.mask or scan.ignore or (ignored is not None and ignored.any())
    found = lesionwise.lesions(lesion[box], scored, voxel_ml)
    facts = Facts(
        scan=scan.scan,
        subject=scan.subject,
        person=scan.person,
        healthy=not marked and not scan.corrupted,
        lesion_type=scan.lesion_type,
        corrupted=bool(scan.corrupted),
        brain_ml=int(scored.sum()) * voxel_ml,
        lesion_ml=int(inside.sum()) * voxel_ml,
        lesion_outside=1 - int(inside.sum()) / whole if whole else 1.0 if scan.mask else np.nan,
        lesions=int((found.ml >= settings.min_lesion_ml).sum()),
    )
    return Truth(box, scored, lesion[box], inside, found, facts)


@dataclass(frozen=True)
class MapValues:
    """The map of a scan: values in and outside lesions, in ascending order, and its areas (NaN where undefined)."""

    lesion: Values
    normal: Values
    auprc: float
    auroc: float


def map_values(anomaly: Float[np.ndarray, "x y z"], truth: Truth) -> MapValues:
    """Take a map apart."""
    part = anomaly[truth.box]
    lesion, normal = np.sort(part[truth.inside]), np.sort(part[truth.scored & ~truth.lesion])
    return MapValues(lesion, normal, *voxelwise.scan_areas(lesion, normal))


@dataclass(frozen=True)
class MaskCounts:
    """A mask against the truth, in voxels of the scored brain."""

    hits: int
    marked: int
    predicted_ml: float
    lesion: int
    normal: int
    slice_dice: float
    """Sum of Dice over slices with lesion."""
    slices: int
    shares: Values
    """Of each counted lesion, how much is marked."""
    ml: Values
    """The volumes of those lesions."""
    false_positives: int

    @property
    def dice(self) -> float:
        """Of the scan; NaN if neither lesion nor mark is there."""
        total = self.marked + self.lesion
        return 2 * self.hits / total if total else np.nan


def mask_counts(mask: Mask, truth: Truth, settings: Evaluate) -> MaskCounts:
    """Count a mask of the whole grid against the truth."""
    marked, lesion = mask[truth.box] & truth.scored, truth.inside
    hits, each, real = (part.sum(axis=(0, 1)) for part in (marked & lesion, marked, lesion))
    holds = real > 0
    shares = lesionwise.shares_marked(truth.lesions, marked)
    counted = truth.lesions.ml >= settings.min_lesion_ml
    return MaskCounts(
        hits=int(hits.sum()),
        marked=int(each.sum()),
        predicted_ml=int(each.sum()) * truth.lesions.voxel_ml,
        lesion=int(real.sum()),
        normal=int(truth.scored.sum() - real.sum()),
        slice_dice=float((2 * hits[holds] / (each + real)[holds]).sum()),
        slices=int(holds.sum()),
        shares=shares[counted],
        ml=truth.lesions.ml[counted],
        false_positives=lesionwise.false_positives(marked, truth.lesion, settings.min_component),
    )
