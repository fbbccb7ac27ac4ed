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
class Truth:
    """A scan's scored brain and lesions, cut to the `box` of its brain."""

    scan: Scan
    box: tuple[slice, slice, slice]
    scored: Mask
    lesion: Mask
    """In and outside the scored brain."""
    lesions: lesionwise.Lesions
    voxel_ml: float
    lesion_voxels: int
    """Of the whole grid."""

    @property
    def healthy(self) -> bool:
        """Whether the scan holds no lesion at all."""
        return self.lesion_voxels == 0

    @property
    def inside(self) -> Mask:
        """The lesion in the scored brain."""
        return self.lesion & self.scored

    @property
    def outside(self) -> float:
        """Share of the lesion outside the scored brain; NaN for healthy scans."""
        return 1 - int(self.inside.sum()) / self.lesion_voxels if self.lesion_voxels else np.nan


def truth(scan: Scan, brain: Mask, lesion: Mask, voxel_ml: float, settings: Evaluate) -> Truth:
    """Prepare a scan for scoring."""
    box = components.box(brain, margin=1)
    scored = voxelwise.scored_brain(brain[box], settings.erode_voxels)
    found = lesionwise.lesions(lesion[box], scored, voxel_ml)
    return Truth(scan, box, scored, lesion[box], found, voxel_ml, int(lesion.sum()))


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
        lesion=int(real.sum()),
        normal=int(truth.scored.sum() - real.sum()),
        slice_dice=float((2 * hits[holds] / (each + real)[holds]).sum()),
        slices=int(holds.sum()),
        shares=shares[counted],
        ml=truth.lesions.ml[counted],
        false_positives=lesionwise.false_positives(marked, truth.lesion, settings.min_component),
    )
