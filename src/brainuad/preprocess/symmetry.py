"""What is left of a head's tilt after registration, told by its own two halves and not by the template."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import ndimage, optimize

from brainuad.images.template import Template

Pose = Float[np.ndarray, "3"]
"""Degrees about y, degrees about z, mm."""
SPACING = 4.0
"""mm between the points that are compared; the image is smoothed as much."""
BOUND = 0.3
"""Differences count up to this share of the range of values: a lesion of one side then weighs no more than its size."""
STEEPEST = 45.0
"""Degrees; a plane that leans more is not the one between the halves."""
SIMPLEX = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]], float)


def residual_pose(image: Float[np.ndarray, "x y z"], template: Template) -> tuple[float, float]:
    """Angle (degrees) and distance (mm) from the template's middle to the plane that mirrors a registered head best.

    `image`: on the template's grid. A head has no such plane from front to back, so its nod is not seen here.
    The plane is that of the least difference, sought from the template's own and from that of the best correlation,
    which reaches farther but follows a large lesion.
    """
    step = max(1, round(SPACING / float(np.linalg.norm(template.affine[:3, 0]))))
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), step / 2)
    inside = np.argwhere(template.brain[::step, ::step, ::step]) * step
    points = inside @ template.affine[:3, :3].T + template.affine[:3, 3]
    middle = np.array([template.offset[0], *points.mean(axis=0)[1:]])
    own = smooth[tuple(inside.T)]
    low, high = np.percentile(own, (1, 99))
    own, smooth = np.clip(own, low, high), np.clip(smooth, low, high)
    to_index, bound = np.linalg.inv(template.affine), BOUND * (high - low) or 1.0

    def mirrored(pose: Pose) -> Float[np.ndarray, "points"]:
        normal = np.array([1.0, np.tan(np.radians(pose[0])), np.tan(np.radians(pose[1]))])
        normal /= np.linalg.norm(normal)
        there = points - 2 * np.outer((points - middle) @ normal - pose[2], normal)
        index = to_index[:3, :3] @ there.T + to_index[:3, 3:]
        return np.asarray(ndimage.map_coordinates(smooth, index, order=1, mode="nearest"))

    def unlike(pose: Pose) -> float:
        return float(1 - np.corrcoef(own, mirrored(pose))[0, 1])

    def apart(pose: Pose) -> float:
        steep = np.abs(pose[:2]).max() > STEEPEST
        return float("inf") if steep else float(np.minimum(np.abs(own - mirrored(pose)) / bound, 1).mean())

    def least(of: Callable[[Pose], float], start: Pose) -> tuple[float, Pose]:
        options = {"initial_simplex": start + SIMPLEX, "xatol": 0.1, "fatol": 1e-5, "maxfev": 120}
        found = optimize.minimize(of, start, method="Nelder-Mead", options=options)
        return found.fun, found.x

    upright = np.zeros(3)
    best = min((least(apart, start) for start in (upright, least(unlike, upright)[1])), key=lambda found: found[0])[1]
    tilt = np.degrees(np.arctan(np.hypot(*np.tan(np.radians(best[:2])))))
    return float(tilt), float(abs(best[2]))
