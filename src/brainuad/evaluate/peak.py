"""The location of the maximum anomaly (Chatterjee 2021): where a map is highest, and whether a lesion lies there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from brainuad.evaluate.scan import ScanTruth


@dataclass(frozen=True)
class Peak:
    """Columns of `scans.tsv`: world coordinates in mm, NaN where nothing is predicted; 1 or 0, NaN without lesion."""

    peak_x_mm: float
    peak_y_mm: float
    peak_z_mm: float
    peak_hit: float


def find_peak(
    anomaly: Float[np.ndarray, "x y z"],
    truth: ScanTruth,
    affine: Float[np.ndarray, "4 4"],
    distance_mm: float,
    within: Bool[np.ndarray, "x y z"] | None = None,
) -> Peak:
    """The highest value in the scored brain, of equals the first in the order of the grid.

    `within`: the component that a postprocessing left, to which the search is then bound. It hits if a lesion voxel
    lies within `distance_mm`, centre to centre. A mask that is empty in the scored brain gives no location, and no hit.
    """
    searched = truth.scored if within is None else truth.scored & within[truth.box]
    corner = np.array([part.start or 0 for part in truth.box])
    lesion = (np.argwhere(truth.lesion) + corner) @ affine[:3, :3].T + affine[:3, 3]
    if not searched.any():
        return Peak(np.nan, np.nan, np.nan, 0.0 if len(lesion) else np.nan)
    index = np.unravel_index(int(np.argmax(np.where(searched, anomaly[truth.box], -np.inf))), searched.shape)
    place = affine[:3, :3] @ (np.array(index) + corner) + affine[:3, 3]
    hit = float(np.linalg.norm(lesion - place, axis=1).min() <= distance_mm + 1e-6) if len(lesion) else np.nan
    return Peak(float(place[0]), float(place[1]), float(place[2]), hit)
