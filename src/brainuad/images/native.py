"""From the template's grid to the grid of a scan."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped
from scipy import ndimage

from brainuad.images.resample import antialias

Matrix = Float[np.ndarray, "4 4"]


def to_native(
    data: Shaped[np.ndarray, "x y z"],
    affine: Matrix,
    shape: tuple[int, int, int],
    target: Matrix,
    template_to_scan: Matrix,
) -> Shaped[np.ndarray, "a b c"]:
    """A map or mask on a scan's grid (`shape`, affine `target`, which may be oblique and of any order of axes).

    `affine`: of `data`, voxel index to the template's world (mm); `template_to_scan`: from there to the scan's world,
    as in `formats.transform`. A mask (bool) gives a mask: interpolated linearly, then above one half. Other data are
    interpolated linearly (float32); 0 outside the voxels of `data`. On a coarser grid, smoothed as by `resample`.
    """
    index = np.linalg.inv(affine) @ np.linalg.inv(template_to_scan) @ target
    source = ndimage.gaussian_filter(np.asarray(data, dtype=np.float32), antialias(index))
    found = _linear(source, index, shape)
    return found > 0.5 if data.dtype == bool else found


def _linear(
    source: Float[np.ndarray, "x y z"], index: Matrix, shape: tuple[int, int, int]
) -> Float[np.ndarray, "a b c"]:
    """`index`: voxel of the result to voxel of `source`. By SimpleITK, three times as fast here as SciPy."""
    import SimpleITK

    # SimpleITK's axes are those of the array in reverse order
    turned = index[:3, :3][::-1, ::-1]
    to_source = SimpleITK.AffineTransform(turned.ravel().tolist(), index[:3, 3][::-1].tolist())
    filter_ = SimpleITK.ResampleImageFilter()
    filter_.SetNumberOfThreads(1)
    filter_.SetSize(shape[::-1])
    filter_.SetTransform(to_source)
    filter_.SetInterpolator(SimpleITK.sitkLinear)
    return SimpleITK.GetArrayFromImage(filter_.Execute(SimpleITK.GetImageFromArray(source)))
