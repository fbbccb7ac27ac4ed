"""Tissue that a poor skull-strip left outside the brain: neck, dura, sinus, eyes, scalp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from brainuad.formats.status import Numbers
from brainuad.formats.volume import Volume
from brainuad.images.resample import Matrix, resample_mask
from brainuad.images.template import Template

MARGIN_MM = 6.0
"""Around the template's brain: an affine fits a healthy brain's surface within it."""
PADDING_MM = 40.0
"""Around the template's grid, which ends under the brain: a neck lies below."""


@dataclass(frozen=True)
class OutsideBrain:
    """The part of a brain mask outside the template's brain and its margin: in the scan's ml, and as a share."""

    ml: float
    fraction: float

    def numbers(self) -> Numbers:
        return {"outside_brain_ml": self.ml, "outside_brain_fraction": self.fraction}


def measure_outside_brain(mask: Volume, transform: Matrix, template: Template) -> OutsideBrain:
    """Measure what of a brain mask lies outside. `transform`: the template's world to that of the mask (mm)."""
    spacing = float(np.linalg.norm(template.affine[:3, 0]))
    padding = round(PADDING_MM / spacing)
    affine = template.affine.copy()
    affine[:3, 3] -= padding * template.affine[:3, :3].sum(axis=1)
    beside = _beside(np.pad(template.brain, padding), spacing)
    x, y, z = beside.shape
    inside = resample_mask(mask.data, mask.affine, (x, y, z), affine, transform)
    outside = inside & beside
    voxel_ml = abs(float(np.linalg.det(template.affine[:3, :3] @ transform[:3, :3]))) / 1000
    return OutsideBrain(float(outside.sum() * voxel_ml), float(outside.sum() / max(1, inside.sum())))


def _beside(brain: Bool[np.ndarray, "x y z"], spacing: float) -> Bool[np.ndarray, "x y z"]:
    return np.asarray(ndimage.distance_transform_edt(~brain) * spacing > MARGIN_MM)
