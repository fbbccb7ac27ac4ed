"""Smooth random fields on voxel grids."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

Shape = tuple[int, int, int]


def upsample(coarse: Float[np.ndarray, "c a b d"], shape: Shape) -> Float[np.ndarray, "c x y z"]:
    """Trilinear; the corner voxels of both grids coincide. float32."""
    import torch  # late: it takes longer than most jobs that plant lesions, and few come here

    source = torch.from_numpy(np.ascontiguousarray(coarse, dtype=np.float32))[None]
    return torch.nn.functional.interpolate(source, size=shape, mode="trilinear", align_corners=True)[0].numpy()


def coarse_shape(shape: Shape, step: float) -> Shape:
    """Size of a grid with the same corners and about `step` voxels between its points."""
    x, y, z = (max(2, int(np.ceil((n - 1) / step)) + 1) for n in shape)
    return x, y, z


def smooth_field(rng: np.random.Generator, shape: Shape, sigma: float) -> Float[np.ndarray, "x y z"]:
    """White noise under a Gaussian of `sigma` voxels: mean 0, sd 1 over many draws. float32.

    Fields of more than 3 voxels are drawn on a coarser grid and interpolated, for speed.
    """
    small = coarse_shape(shape, max(1.0, sigma / 1.5))
    noise = rng.standard_normal(small, dtype=np.float32)
    spread = [sigma * (c - 1) / (n - 1) if n > 1 else 0.0 for c, n in zip(small, shape, strict=True)]
    # the kernel's energy along one axis: what is left of the noise's variance
    left = [np.sum(_kernel(s) ** 2) for s in spread]
    field = ndimage.gaussian_filter(noise, spread, mode="wrap") / np.sqrt(np.prod(left))
    return np.asarray(field if small == shape else upsample(field[None], shape)[0])


def _kernel(sigma: float) -> Float[np.ndarray, " k"]:
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    return np.asarray(weights / weights.sum())
