"""Position of a phantom's head in the scanner, and the deviation of its anatomy from the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainuad.images.fields import Shape, coarse_shape, smooth_field, upsample

Triple = tuple[float, float, float]

CENTRE = np.array([0.0, -18.0, 8.0])
"""Template point (mm) about which heads rotate; in an average head it lies at the isocentre of the scanner."""
_VENTRICLES, _WINDOW = np.array([0.0, -15.0, 12.0]), np.array([22.0, 38.0, 22.0])  # mm: centre, Gaussian sigma


@dataclass(frozen=True)
class Pose:
    """`rotation` about right, front and top in degrees; `translation` in mm; `scale` per axis; `shear` xy, xz, yz.

    `atrophy`: 0 none, 0.4 an old brain with wide ventricles and sulci.
    """

    rotation: Triple = (0.0, 0.0, 0.0)
    translation: Triple = (0.0, 0.0, 0.0)
    scale: Triple = (1.0, 1.0, 1.0)
    shear: Triple = (0.0, 0.0, 0.0)
    atrophy: float = 0.0

    def matrix(self) -> Float[np.ndarray, "4 4"]:
        """Template world to scan world, 4x4: scale and shear, rotation, then translation, all about CENTRE."""
        a, b, c = np.deg2rad(self.rotation)
        turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        turn_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        stretch = np.diag(self.scale)
        stretch[0, 1], stretch[0, 2], stretch[1, 2] = self.shear
        matrix = np.eye(4)
        matrix[:3, :3] = turn_z @ turn_y @ turn_x @ stretch
        matrix[:3, 3] = np.array(self.translation) - matrix[:3, :3] @ CENTRE
        return matrix


def draw_pose(rng: np.random.Generator) -> Pose:
    """Uniform within 10 degrees, 10 mm, 8 % (the size of the head 6 %, each axis 2 %) and a shear of 0.03."""
    size = rng.uniform(-0.06, 0.06)

    def three(limit: float, middle: float = 0.0) -> Triple:
        x, y, z = middle + rng.uniform(-limit, limit, 3)
        return float(x), float(y), float(z)

    return Pose(three(10), three(10), three(0.02, 1 + size), three(0.03))


def template_points(
    rng: np.random.Generator, pose: Pose, affine: Float[np.ndarray, "4 4"], shape: Shape
) -> Float[np.ndarray, "3 x y z"]:
    """The template point (mm) of each voxel of a scan's grid: pose, then a nonlinear deformation.

    The deformation: per axis a Gaussian field of 2.2 mm rms, sigma 22 mm, and one of 0.9 mm, sigma 9 mm; and ventricles
    scaled by up to a quarter, and larger by `pose.atrophy`.
    """
    spacing = float(np.linalg.norm(affine[:3, 0]))
    small = coarse_shape(shape, max(1.0, 6.0 / spacing))
    corner = [np.linspace(0, n - 1, s) for n, s in zip(shape, small, strict=True)]
    index = np.stack(np.meshgrid(*corner, indexing="ij")).reshape(3, -1)
    back = np.linalg.inv(pose.matrix()) @ affine
    points = (back[:3, :3] @ index + back[:3, 3:]).reshape(3, *small)
    step = spacing * (shape[0] - 1) / (small[0] - 1)
    for axis in range(3):
        points[axis] += 2.2 * smooth_field(rng, small, 22.0 / step) + 0.9 * smooth_field(rng, small, 9.0 / step)
    growth = 0.6 * rng.uniform(-0.25, 0.45) + pose.atrophy
    away = points - _VENTRICLES[:, None, None, None]
    window = np.exp(-0.5 * ((away / _WINDOW[:, None, None, None]) ** 2).sum(axis=0))
    return upsample(points - growth * window * away, shape)


def best_affine(
    template: Float[np.ndarray, "3 n"], scan: Float[np.ndarray, "3 n"]
) -> tuple[Float[np.ndarray, "4 4"], float]:
    """Least-squares affine from template points to scan points (mm), and its rms residual in mm."""
    homogeneous = np.vstack([template, np.ones(template.shape[1])]).T.astype(float)
    solution, *_ = np.linalg.lstsq(homogeneous, scan.T.astype(float), rcond=None)
    matrix = np.eye(4)
    matrix[:3] = solution.T
    residual = homogeneous @ solution - scan.T
    return matrix, float(np.sqrt((residual**2).sum(axis=1).mean()))
