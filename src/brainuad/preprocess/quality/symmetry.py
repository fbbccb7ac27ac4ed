"""Tilt and offset that remain after registration, from the head's own plane of symmetry and not from the template."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage, optimize

from brainuad.images.template import Template

Pose = Float[np.ndarray, "3"]
"""Degrees about y, degrees about z, mm."""
SPACING_MM = 4.0
"""Between the points that are compared; the image is smoothed as much."""
MAX_DIFFERENCE = 0.3
"""Differences are clipped to this share of the intensity range, so that a bright lesion on one side weighs little."""
MAX_TILT_DEG = 45.0
"""A plane of more tilt is not the one between the hemispheres."""
SIMPLEX = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]], float)


def residual_tilt_and_offset(image: Float[np.ndarray, "x y z"], template: Template) -> tuple[float, float]:
    """Angle (degrees) and distance (mm) between the template's midplane and the head's best plane of symmetry.

    `image`: on the template's grid. Rotation about the left-right axis (nodding) does not change the symmetry and is
    not measured. The plane minimises the mean clipped difference between mirrored points. The search starts from the
    template's midplane and from the plane of best correlation, which has a larger basin but is biased by large lesions.
    """
    step = max(1, round(SPACING_MM / float(np.linalg.norm(template.affine[:3, 0]))))
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), step / 2)
    inside = np.argwhere(template.brain[::step, ::step, ::step]) * step
    points = inside @ template.affine[:3, :3].T + template.affine[:3, 3]
    centre = np.array([template.offset[0], *points.mean(axis=0)[1:]])
    own = smooth[tuple(inside.T)]
    low, high = np.percentile(own, (1, 99))
    own, smooth = np.clip(own, low, high), np.clip(smooth, low, high)
    to_index, max_difference = np.linalg.inv(template.affine), MAX_DIFFERENCE * (high - low) or 1.0
    field = torch.from_numpy(np.asarray(smooth, np.float64))[None, None]
    half = (np.array(smooth.shape) - 1) / 2  # grid_sample's axes go from -1 to 1, the last one first

    def mirrored(pose: Pose) -> Float[np.ndarray, "points"]:
        normal = np.array([1.0, np.tan(np.radians(pose[0])), np.tan(np.radians(pose[1]))])
        normal /= np.linalg.norm(normal)
        reflection = np.eye(3) - 2 * np.outer(normal, normal)
        shift = 2 * (centre @ normal + pose[2]) * normal
        turn = np.ascontiguousarray((to_index[:3, :3] @ reflection / half[:, None])[::-1].T)
        move = ((to_index[:3, :3] @ shift + to_index[:3, 3]) / half)[::-1] - 1
        grid = torch.from_numpy(points @ turn + move)[None, None, None]
        found = torch.nn.functional.grid_sample(field, grid, padding_mode="border", align_corners=True)
        return found.flatten().numpy().astype(np.float32)

    def decorrelation(pose: Pose) -> float:
        return float(1 - np.corrcoef(own, mirrored(pose))[0, 1])

    def difference(pose: Pose) -> float:
        too_tilted = np.abs(pose[:2]).max() > MAX_TILT_DEG
        return (
            float("inf") if too_tilted else float(np.minimum(np.abs(own - mirrored(pose)) / max_difference, 1).mean())
        )

    def minimise(cost: Callable[[Pose], float], start: Pose) -> tuple[float, Pose]:
        options = {"initial_simplex": start + SIMPLEX, "xatol": 0.1, "fatol": 1e-5, "maxfev": 120}
        result = optimize.minimize(cost, start, method="Nelder-Mead", options=options)
        return result.fun, result.x

    midplane = np.zeros(3)
    starts = (midplane, minimise(decorrelation, midplane)[1])
    _, best = min((minimise(difference, start) for start in starts), key=lambda result: result[0])
    tilt = np.degrees(np.arctan(np.hypot(*np.tan(np.radians(best[:2])))))
    return float(tilt), float(abs(best[2]))
