"""Connected components of masks, in 3D (26 neighbours) or in axial slices (8 neighbours)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from skimage import measure

Mask = Bool[np.ndarray, "x y z"]
Labels = Int[np.ndarray, "x y z"]

_PLANE = np.zeros((3, 3, 3), dtype=bool)
_PLANE[:, :, 1] = True
_CROSS = ndimage.generate_binary_structure(3, 1)


def label(mask: Mask, per_slice: bool = False) -> tuple[Labels, int]:
    """Labels of the components from 1 to n (0: background), and n. `per_slice`: components of axial slices."""
    if per_slice:  # scikit-image has no connectivity within slices
        labels, count = ndimage.label(mask, structure=_PLANE)
    else:
        labels, count = measure.label(mask, connectivity=3, return_num=True)
    return labels, int(count)


def sizes(labels: Labels, count: int) -> Int[np.ndarray, "n"]:
    """Voxels of components 1 to n."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1:]


def sums(labels: Labels, count: int, values: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "n"]:
    """Sum of `values` over each of components 1 to n."""
    inside = labels > 0
    return np.bincount(labels[inside], weights=values[inside], minlength=count + 1)[1:]


def slices(labels: Labels, count: int) -> Int[np.ndarray, "n"]:
    """Index along z of each of components 1 to n, which must be components of axial slices."""
    found = np.zeros(count + 1, dtype=np.intp)
    inside = np.nonzero(labels)
    found[labels[inside]] = inside[2]
    return found[1:]


def keep(labels: Labels, chosen: Bool[np.ndarray, "n"]) -> Mask:
    """The mask of the components for which `chosen` is true."""
    return np.concatenate([[False], chosen])[labels]


def fill_holes(mask: Mask, per_slice: bool = False) -> Mask:
    """Add the background that is not connected with the border of the grid (6 neighbours; in slices, 4)."""
    labels, count = ndimage.label(~mask, structure=_CROSS & _PLANE if per_slice else _CROSS)
    outer = np.zeros(count + 1, dtype=bool)
    for axis in range(2 if per_slice else 3):
        outer[np.take(labels, [0, -1], axis=axis)] = True
    return mask | ~outer[labels]


def box(mask: Mask, margin: int = 0) -> tuple[slice, slice, slice]:
    """The smallest box around the mask, wider by `margin` voxels inside the grid; the whole grid for an empty mask."""
    found: list[slice] = []
    for axis in range(3):
        (filled,) = np.nonzero(np.moveaxis(mask[tuple(found)], axis, 0).any(axis=(1, 2)))
        if not filled.size:
            return slice(None), slice(None), slice(None)
        found.append(slice(max(int(filled[0]) - margin, 0), int(filled[-1]) + 1 + margin))
    x, y, z = found
    return x, y, z
