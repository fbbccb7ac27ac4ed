"""The foreground of a scan."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.formats.volume import Volume

Mask = Bool[np.ndarray, "x y z"]
SMALLEST_BRAIN_MM3 = 0.3e6
LARGEST_BRAIN_MM3 = 2.3e6
"""No brain is larger, no head with scalp and face is smaller."""
MAX_BRAIN_FRACTION = 0.6
"""A brain alone fills no more of a scan's box."""


def is_of_a_brains_size(mask: Mask, affine: Float[np.ndarray, "4 4"]) -> bool:
    """Whether a foreground is no larger than a brain. `affine`: voxel index to mm.

    Measured on 97 real scans: 1.1 to 1.5 litres in the 25 stripped ones and 2.9 to 7.7 in the others.
    """
    volume_mm3 = float(mask.sum()) * float(abs(np.linalg.det(affine[:3, :3])))
    return bool(mask.mean() < MAX_BRAIN_FRACTION and SMALLEST_BRAIN_MM3 < volume_mm3 < LARGEST_BRAIN_MM3)


def foreground(scan: Volume) -> Mask:
    """Voxels that differ from the most frequent value of the scan's six faces."""
    data = scan.data
    faces = [np.take(data, edge, axis).ravel() for axis in range(3) for edge in (0, -1)]
    values, counts = np.unique(np.concatenate(faces), return_counts=True)
    return np.asarray(data != values[counts.argmax()])


def largest_component(mask: Mask) -> Mask:
    """The largest connected component (6 neighbours) of a mask."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())
