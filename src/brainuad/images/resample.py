"""Resampling between voxel grids with affines."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped
from scipy import ndimage

Matrix = Float[np.ndarray, "4 4"]


def resample(
    data: Shaped[np.ndarray, "x y z"],
    affine: Matrix,
    shape: tuple[int, int, int],
    target: Matrix,
    transform: Matrix | None = None,
    order: int = 1,
    fill: float = 0.0,
) -> Float[np.ndarray, "a b c"]:
    """Sample `data` on the grid (`shape`, `target` affine); outside the field of view the result is `fill`.

    `transform`: target world to data world in mm (identity if None). `order`: 0 nearest, 1 linear, 3 cubic spline.
    float32 result. Before linear and cubic sampling to a coarser grid a Gaussian reduces aliasing; its full width at
    half maximum is the ratio of voxel sizes.
    """
    world = np.eye(4) if transform is None else transform
    index = np.linalg.inv(affine) @ world @ target  # target voxel -> data voxel
    source = np.asarray(data, dtype=np.float32)
    if order > 0:
        source = ndimage.gaussian_filter(source, antialias(index))
    return ndimage.affine_transform(
        source, index[:3, :3], index[:3, 3], output_shape=shape, order=order, mode="constant", cval=fill
    )


def resample_mask(
    mask: Shaped[np.ndarray, "x y z"],
    affine: Matrix,
    shape: tuple[int, int, int],
    target: Matrix,
    transform: Matrix | None = None,
) -> np.ndarray:
    """As `resample`, for a mask: linear, then above one half. bool, `shape`."""
    return resample(np.asarray(mask, dtype=np.float32), affine, shape, target, transform) > 0.5


def antialias(index: Matrix) -> list[float]:
    """Sigma in voxels along each axis, for sampling at `index`: voxel of the result to voxel of the data."""
    step = np.abs(index[:3, :3]).max(axis=1)
    return [float(np.sqrt(max(s**2 - 1, 0)) / 2.355) for s in step]
