"""The ten inputs of the network, for whole scans and for slices of a changed one: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.images.lesions import Window
from brainuad.methods.shared.healthy_atlas import Feature, Reference, as_input, mirrored

if TYPE_CHECKING:
    from brainuad.methods.synseg import Inputs

INPUTS = 10
TRUNCATE = 4.0
"""Reach of a Gaussian in sigmas, as `smooth_inside` has it."""
References = Mapping[Feature, Reference]
Planes = Float[np.ndarray, "n x y"]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Features:
    """What is compared with the atlas: intensities, smoothed ones, coarse ones, and the left-right difference."""

    own: Feature
    smooth: Feature
    coarse: Feature
    across: Feature

    @classmethod
    def of(cls, settings: Inputs) -> Features:
        """Those of a model."""
        smooth, coarse = settings.smooth_mm, settings.coarse_mm
        return cls(Feature(), Feature(smooth), Feature(coarse), Feature(smooth, difference=True))

    @property
    def all(self) -> list[Feature]:
        """All that differ."""
        return list(dict.fromkeys([self.own, self.smooth, self.coarse, self.across]))


def box_around(brain: Bool[np.ndarray, "x y z"]) -> Window:
    """The part of all slices that holds the brain, symmetric about the midline of the grid; everything if it is empty.

    Networks see this part alone, for the rest costs time.
    """
    x, y, z = brain.shape
    if not brain.any():
        return slice(0, x), slice(0, y), slice(0, z)
    sides = np.flatnonzero(brain.any((1, 2)))
    margin = int(min(sides[0], x - 1 - sides[-1]))
    rows = np.flatnonzero(brain.any((0, 2)))
    return slice(margin, x - margin), slice(int(rows[0]), int(rows[-1]) + 1), slice(0, z)


def reach(settings: Inputs, spacing: Spacing) -> int:
    """Slices around those that are seen which their inputs depend on."""
    smooth = TRUNCATE * max(settings.smooth_mm, settings.coarse_mm) / spacing[2] + 0.5
    return max(int(smooth), steps_apart(settings.neighbours_mm, spacing))


def steps_apart(mm: float, spacing: Spacing) -> int:
    """A distance between slices, in slices."""
    return max(1, round(mm / spacing[2]))


def inputs_of(
    image: Float[np.ndarray, "x y z"],
    brain: Bool[np.ndarray, "x y z"],
    levels: Sequence[int],
    references: References,
    settings: Inputs,
    spacing: Spacing,
) -> Float[np.ndarray, "n 10 x y"]:
    """The inputs of these slices.

    `image`, `brain`: a part of the grid that is symmetric about the midline, with all slices that `reach` asks for;
    `references`: of that part at `levels` alone.
    """
    features, rows = Features.of(settings), np.asarray(levels)
    inside = np.where(brain, image, 0).astype(np.float32)
    own, masks = _slices(inside, rows), _slices(brain, rows)
    smooth = _smooth_slices(inside, brain, features.smooth.smooth_mm, rows, spacing)
    coarse = _smooth_slices(inside, brain, features.coarse.smooth_mm, rows, spacing)
    both = masks & _mirrored(masks)
    across = np.where(both, smooth - _mirrored(smooth), 0)
    z = {
        name: as_input(_z(references[feature], values, seen))
        for name, feature, values, seen in (
            ("own", features.own, own, masks),
            ("smooth", features.smooth, smooth, masks),
            ("coarse", features.coarse, coarse, masks),
            ("across", features.across, across, both),
        )
    }
    step, last = steps_apart(settings.neighbours_mm, spacing), image.shape[2] - 1
    above, below = (
        np.where(((at >= 0) & (at <= last))[:, None, None], _slices(inside, np.clip(at, 0, last)), 0)
        for at in (rows + step, rows - step)
    )
    mean = np.moveaxis(references[features.own].mean, 2, 0)
    mirrored_image, mirrored_z = _mirrored(own), _mirrored(z["smooth"])
    parts = [own, above, below, z["own"], z["smooth"], mirrored_z, mean, mirrored_image, z["coarse"], z["across"]]
    return np.stack(parts, axis=1).astype(np.float32)


def _z(reference: Reference, values: Planes, seen: Bool[np.ndarray, "n x y"]) -> Planes:
    """z-scores of slices; the reference has them as its last axis."""
    found = reference.z(np.moveaxis(values, 0, 2), np.moveaxis(seen, 0, 2))
    return np.moveaxis(found, 2, 0)


def _mirrored(planes: np.ndarray) -> np.ndarray:
    flipped: np.ndarray = mirrored(planes[..., None])[..., 0]
    return flipped


def _slices(volume: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(volume[:, :, levels], 2, 0))


def _smooth_slices(
    inside: Float[np.ndarray, "x y z"],
    brain: Bool[np.ndarray, "x y z"],
    sigma_mm: float,
    levels: np.ndarray,
    spacing: Spacing,
) -> Planes:
    """`smooth_inside` at some levels, without smoothing the others; up to rounding."""
    masks = _slices(brain, levels)
    if sigma_mm == 0:
        return _slices(inside, levels)
    sigma = [sigma_mm / size for size in spacing]
    total, weight = (
        ndimage.gaussian_filter(
            _along_z(volume, sigma[2], levels), (0, sigma[0], sigma[1]), mode="constant", truncate=TRUNCATE
        )
        for volume in (inside, brain.astype(np.float32))
    )
    return np.divide(total, weight, out=np.zeros_like(total), where=masks)


def _along_z(volume: Float[np.ndarray, "x y z"], sigma: float, levels: np.ndarray) -> Planes:
    """A Gaussian across slices, 0 beyond the volume. A sum in a fixed order: BLAS would depend on threads."""
    slices = np.ascontiguousarray(np.moveaxis(volume, 2, 0))
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    found = np.zeros((len(levels), *slices.shape[1:]), np.float32)
    for row, level in enumerate(levels):
        for offset, share in enumerate(kernel, level - radius):
            if 0 <= offset < len(slices):
                found[row] += share * slices[offset]
    return found
