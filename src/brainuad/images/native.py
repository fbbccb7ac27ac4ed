"""From the template's grid to the grid of a scan."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from brainuad.images.resample import resample, resample_mask

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
    interpolated linearly; 0 outside the field of view of `data`.
    """
    back = np.linalg.inv(template_to_scan)
    if data.dtype == bool:
        return resample_mask(data, affine, shape, target, back)
    return resample(data, affine, shape, target, back)
