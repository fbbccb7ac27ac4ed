"""Centring: each brain is moved to the middle of the grid's rows and columns, by whole voxels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Shaped

from brainuad.formats.transform import Affine

Mask = Bool[np.ndarray, "x y z"]
Shift = tuple[int, int]
"""Voxels along x and y."""


def shift_to_middle(brain: Mask) -> Shift:
    """The shift that brings the middle of the brain's extent to the middle of the grid."""
    steps = []
    for axis, other_axes in enumerate(((1, 2), (0, 2))):
        first, last = np.flatnonzero(brain.any(axis=other_axes))[[0, -1]]
        steps.append(int((brain.shape[axis] - 1 - first - last) // 2))
    return steps[0], steps[1]


def shifted(data: Shaped[np.ndarray, "x y z"], shift: Shift, fill: float = 0) -> Shaped[np.ndarray, "x y z"]:
    """The moved volume; voxels that come in from outside are `fill`."""
    out = np.full_like(data, fill)
    target, source = [], []
    for step, n in zip(shift, data.shape, strict=False):
        target.append(slice(max(step, 0), n + min(step, 0)))
        source.append(slice(max(-step, 0), n - max(step, 0)))
    out[tuple(target)] = data[tuple(source)]
    return out


def shifted_masks(masks: Mapping[str, Mask], shift: Shift) -> dict[str, Mask]:
    """Each of the masks, moved."""
    return {name: shifted(mask, shift) for name, mask in masks.items()}


def shifted_transform(transform: Affine, shift: Shift, affine: np.ndarray) -> Affine:
    """The transform from the moved grid to the scan. `affine`: of the grid, voxel index to mm."""
    move = np.eye(4)
    move[:3, 3] = -affine[:3, :3] @ [*shift, 0]
    return Affine(transform.matrix @ move)
