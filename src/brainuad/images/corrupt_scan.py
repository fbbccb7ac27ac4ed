"""Corruptions of healthy registered scans that occur in practice: orientation, registration, noise, missing parts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brainuad.config.anomalies import CorruptionType, ScanCorruption
from brainuad.images.insert import fluid_and_tissue
from brainuad.images.resample import resample, resample_mask

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
Matrix = Float[np.ndarray, "4 4"]


def corrupt_scan(
    image: Image,
    brain: Mask,
    affine: Matrix,
    corruption_type: CorruptionType,
    rng: np.random.Generator,
    settings: ScanCorruption,
) -> tuple[Image, Mask]:
    """The corrupted scan and its brain mask; `image`: before intensity scaling, 0 outside the brain.

    The mask follows a scan that is `rotated` (a quarter turn about an axis), `flipped_axis` (front to back or top to
    bottom; left to right would hardly be visible) or `misregistered` (shifted and rotated). It is unchanged where parts
    are missing (`hole`: at one side, as after a craniectomy; `cut_slices`: some adjacent axial slices), so that scores
    include them, with intensity 0.
    """
    centre = affine[:3, :3] @ np.argwhere(brain).mean(axis=0) + affine[:3, 3]
    match corruption_type:
        case "rotated":
            turn = np.zeros(3)
            turn[rng.integers(3)] = rng.choice([-90, 90])
            return _moved(image, brain, affine, Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), centre)
        case "flipped_axis":
            mirror = np.eye(3)
            flipped = rng.integers(1, 3)
            mirror[flipped, flipped] = -1
            return _moved(image, brain, affine, mirror, centre)
        case "misregistered":
            axis, way = (_direction(rng) for _ in range(2))
            turn = Rotation.from_rotvec(rng.uniform(-1, 1) * settings.turn_deg * axis, degrees=True)
            offset = rng.uniform(*settings.shift_mm) * way
            return _moved(image, brain, affine, turn.as_matrix(), centre, offset)
        case "noise":
            fluid, tissue = fluid_and_tissue(image, brain)
            grain = rng.standard_normal(image.shape, dtype=np.float32)
            return image + brain * (rng.uniform(*settings.noise) * (tissue - fluid)) * grain, brain
        case "hole":
            return np.where(_ball(brain, affine, centre, rng, settings), 0, image), brain
        case "cut_slices":
            levels = np.flatnonzero(brain.any(axis=(0, 1)))
            height = max(1, round(rng.uniform(*settings.cut_mm) / float(np.linalg.norm(affine[:3, 2]))))
            first = int(rng.integers(levels[0], max(levels[0], levels[-1] + 1 - height) + 1))
            cut = image.copy()
            cut[:, :, first : first + height] = 0
            return cut, brain


def _moved(
    image: Image,
    brain: Mask,
    affine: Matrix,
    turn: Float[np.ndarray, "3 3"],
    centre: Float[np.ndarray, "3"],
    offset: Float[np.ndarray, "3"] | float = 0.0,
) -> tuple[Image, Mask]:
    """Rotated about `centre`, then shifted by `offset` (mm)."""
    back = np.eye(4)
    back[:3, :3] = np.linalg.inv(turn)
    back[:3, 3] = centre - back[:3, :3] @ (centre + offset)
    x, y, z = image.shape
    mask = resample_mask(brain, affine, (x, y, z), affine, back)
    return np.where(mask, resample(image, affine, (x, y, z), affine, back), 0), mask


def _ball(
    brain: Mask, affine: Matrix, centre: Float[np.ndarray, "3"], rng: np.random.Generator, settings: ScanCorruption
) -> Mask:
    """A ball around a point of the brain's surface, on one side and not below its middle."""
    rim = np.argwhere(brain & ~ndimage.binary_erosion(brain))
    away = rim @ affine[:3, :3].T + affine[:3, 3] - centre
    side = np.abs(away[:, 0])
    lateral = rim[(side >= np.quantile(side, 0.7)) & (away[:, 2] >= 0)]
    chosen = lateral if len(lateral) else rim
    point = affine[:3, :3] @ chosen[rng.integers(len(chosen))]
    index = np.moveaxis(np.indices(brain.shape), 0, -1) @ affine[:3, :3].T
    return np.linalg.norm(index - point, axis=-1) < rng.uniform(*settings.hole_mm)


def _direction(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    way = rng.standard_normal(3)
    return np.asarray(way / np.linalg.norm(way))
