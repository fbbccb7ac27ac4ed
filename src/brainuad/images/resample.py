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
    sigmas = antialias(index) if order > 0 else [0.0] * 3
    if (voxels := _chosen_voxels(index, data.shape, shape)) is not None:
        for axis, (sigma, chosen) in enumerate(zip(sigmas, voxels, strict=True)):
            # along an axis at a time: what is not chosen is not filtered along the next one
            smooth = ndimage.gaussian_filter1d(source, sigma, axis) if sigma else source
            source = smooth[(slice(None),) * axis + (chosen,)]
        return np.array(source, order="C")
    if order > 0:
        source = ndimage.gaussian_filter(source, sigmas)
    return ndimage.affine_transform(
        source, index[:3, :3], index[:3, 3], output_shape=shape, order=order, mode="constant", cval=fill
    )


def _chosen_voxels(index: Matrix, given: tuple[int, ...], wanted: tuple[int, ...]) -> list[slice] | None:
    """Slices of the data that are the voxels of the result; None if these do not all lie on voxels of the data."""
    steps, first = np.diag(index)[:3], index[:3, 3]
    upright = np.array_equal(index[:3, :3], np.diag(steps)) and (steps >= 1).all() and (first >= 0).all()
    if not upright or (steps % 1).any() or (first % 1).any():
        return None
    slices = [slice(int(a), int(a + s * (n - 1)) + 1, int(s)) for a, s, n in zip(first, steps, wanted, strict=True)]
    return slices if all(part.stop <= n for part, n in zip(slices, given, strict=True)) else None


def resample_mask(
    mask: Shaped[np.ndarray, "x y z"],
    affine: Matrix,
    shape: tuple[int, int, int],
    target: Matrix,
    transform: Matrix | None = None,
) -> np.ndarray:
    """As `resample`, for a mask: linear, then above one half. bool, `shape`. Only the box around it is sampled."""
    found = np.zeros(shape, dtype=bool)
    world = np.eye(4) if transform is None else transform
    index = np.linalg.inv(affine) @ world @ target
    source = _box_of(mask, [int(np.ceil(4 * sigma)) + 2 for sigma in antialias(index)])
    if source is None:
        return found
    corners = np.array(np.meshgrid(*[(part.start - 1, part.stop) for part in source])).reshape(3, -1)
    there = np.linalg.solve(index, np.vstack([corners, np.ones(corners.shape[1])]))[:3]
    low, high = np.floor(there.min(axis=1)).astype(int), np.ceil(there.max(axis=1)).astype(int) + 1
    box = tuple(slice(max(a, 0), min(b, n)) for a, b, n in zip(low.tolist(), high.tolist(), shape, strict=True))
    x, y, z = (max(part.stop - part.start, 0) for part in box)
    if x * y * z:
        at, to = _from([part.start for part in source]), _from([part.start for part in box])
        part = resample(np.asarray(mask[source], dtype=np.float32), affine @ at, (x, y, z), target @ to, transform)
        found[box] = part > 0.5
    return found


def _box_of(mask: Shaped[np.ndarray, "x y z"], margin: list[int]) -> tuple[slice, slice, slice] | None:
    """The box around a mask with a margin within the grid; None if it is empty."""
    ends = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not ends[0].size:
        return None
    x, y, z = (
        slice(max(int(found[0]) - more, 0), min(int(found[-1]) + more + 1, n))
        for found, more, n in zip(ends, margin, mask.shape, strict=True)
    )
    return x, y, z


def _from(start: list[int]) -> Matrix:
    """Voxels of a box to those of the grid that it was cut from."""
    moved = np.eye(4)
    moved[:3, 3] = start
    return moved


def antialias(index: Matrix) -> list[float]:
    """Sigma in voxels along each axis, for sampling at `index`: voxel of the result to voxel of the data."""
    step = np.abs(index[:3, :3]).max(axis=1)
    return [float(np.sqrt(max(s**2 - 1, 0)) / 2.355) for s in step]
