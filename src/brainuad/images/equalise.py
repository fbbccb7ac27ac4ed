"""Histogram equalisation inside the brain."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def equalise(
    image: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"], levels: int
) -> Float[np.ndarray, "x y z"]:
    """Share of brain voxels that are as bright or darker, in (0, 1]; 0 outside the brain.

    The volume is quantised to `levels` grey levels between its darkest and brightest brain voxel, whatever its unit.
    Source: Meissen et al. 2021. Not `skimage.exposure.equalize_hist`, which interpolates between the levels
    (docs/decisions/0022-scikit-image.md).
    """
    out = np.zeros(image.shape, dtype=np.float32)
    values = image[brain]
    if values.size == 0:
        return out
    low, high = float(values.min()), float(values.max())
    scale = (levels - 1) / (high - low) if high > low else 0.0
    grey = np.rint((values - low) * scale).astype(np.intp)
    shares = np.cumsum(np.bincount(grey, minlength=levels)) / values.size
    out[brain] = shares[grey]
    return out
