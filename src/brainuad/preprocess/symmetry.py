"""What is left of a head's tilt after registration, told by its own two halves and not by the template."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage, optimize

from brainuad.images.template import Template

SPACING = 4.0
"""mm between the points that are compared; the image is smoothed as much."""


def residual_pose(image: Float[np.ndarray, "x y z"], template: Template) -> tuple[float, float]:
    """Angle (degrees) and distance (mm) from the template's middle to the plane that mirrors a registered head best.

    `image`: on the template's grid. A head has no such plane from front to back, so its nod is not seen here.
    """
    step = max(1, round(SPACING / float(np.linalg.norm(template.affine[:3, 0]))))
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), step / 2)
    inside = np.argwhere(template.brain[::step, ::step, ::step]) * step
    points = inside @ template.affine[:3, :3].T + template.affine[:3, 3]
    middle = np.array([template.offset[0], *points.mean(axis=0)[1:]])
    own = smooth[tuple(inside.T)]
    low, high = np.percentile(own, (1, 99))
    own, smooth = np.clip(own, low, high), np.clip(smooth, low, high)
    to_index = np.linalg.inv(template.affine)

    def unlike(pose: Float[np.ndarray, "3"]) -> float:
        normal = np.array([1.0, np.tan(np.radians(pose[0])), np.tan(np.radians(pose[1]))])
        normal /= np.linalg.norm(normal)
        mirrored = points - 2 * np.outer((points - middle) @ normal - pose[2], normal)
        index = to_index[:3, :3] @ mirrored.T + to_index[:3, 3:]
        other = ndimage.map_coordinates(smooth, index, order=1, mode="nearest")
        return float(1 - np.corrcoef(own, other)[0, 1])

    start = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]], float)
    options = {"initial_simplex": start, "xatol": 0.1, "fatol": 1e-5, "maxfev": 120}
    best = optimize.minimize(unlike, start[0], method="Nelder-Mead", options=options).x
    tilt = np.degrees(np.arctan(np.hypot(*np.tan(np.radians(best[:2])))))
    return float(tilt), float(abs(best[2]))
