"""Gaussian smoothing inside the brain."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage


def smooth_inside(
    image: Float[np.ndarray, "x y z"],
    brain: Bool[np.ndarray, "x y z"],
    sigma_mm: float,
    spacing: tuple[float, float, float],
) -> Float[np.ndarray, "x y z"]:
    """Gaussian of sigma `sigma_mm` over the brain voxels alone, normalised by the mask; 0 outside.

    A constant inside the brain stays that constant up to its edge. `spacing`: voxel size in mm. float32 result.
    """
    inside = np.where(brain, image, 0).astype(np.float32)
    if sigma_mm == 0 or not brain.any():
        return inside
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    sigma = [sigma_mm / size for size in spacing]
    within = brain[box]
    weight = ndimage.gaussian_filter(within.astype(np.float32), sigma, mode="constant")
    total = ndimage.gaussian_filter(inside[box], sigma, mode="constant")
    smooth = np.zeros_like(inside)
    smooth[box] = np.divide(total, weight, out=np.zeros_like(total), where=within)
    return smooth
