"""Whether two scans lie on each other by their headers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from brainuad.preprocess.registration.input import HEAD, RegistrationInput

Shift = Float[np.ndarray, "3"]
SHIFT_MM = 6.0
COMPARED_EVERY = 7
"""Of the head's voxels, one in so many is compared."""


def shift_ratio(reference: RegistrationInput, scan: RegistrationInput) -> float:
    """What two scans share after the best shift of 6 mm along an axis, divided by what they share by their headers.

    Normalised mutual information less 1. Above 1 where the headers do not place the two on each other.
    """
    from skimage.metrics import normalized_mutual_information

    index = np.argwhere(reference.volume.data > HEAD)[::COMPARED_EVERY]
    values = reference.volume.data[tuple(index.T)]
    points = index @ reference.volume.affine[:3, :3].T + reference.volume.affine[:3, 3]
    to_voxel = np.linalg.inv(scan.volume.affine)

    def shared(shift: Shift) -> float:
        at = to_voxel[:3, :3] @ (points + shift).T + to_voxel[:3, 3:]
        moved = ndimage.map_coordinates(scan.volume.data, at, order=1)
        return float(normalized_mutual_information(values, moved, bins=32)) - 1 if np.ptp(moved) > 0 else 0.0

    away = max(shared(sign * SHIFT_MM * axis) for axis in np.eye(3) for sign in (-1, 1))
    here = shared(np.zeros(3))
    return away / here if here > 0 else np.inf
