"""Phantoms: synthesised head scans with known anatomy, lesions and position, from the MNI152 maps alone.

They are for demos and tests: brains of realistic contrast, with a simplified skull base, face and neck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from brainuad.errors import InputError
from brainuad.images.anatomy import LABELS, Head, head
from brainuad.images.contrasts import INTENSITY, Contrast, Lesions
from brainuad.images.fields import Shape, smooth_field
from brainuad.images.lesions import Scene, add_lesions
from brainuad.images.pose import Pose, best_affine, draw_pose, template_points
from brainuad.images.seeds import rng_for

Values = dict[str, float]

_LOW, _HIGH = np.array([-112.0, -126.0, -130.0]), np.array([112.0, 126.0, 122.0])  # field of view, mm
_CSF, _SKULL, _SCALP = 1.5, 6.5, 6.0  # mm; mean thickness of the layers around the brain


@dataclass(frozen=True)
class Phantom:
    """One subject's scan; arrays (x, y, z) with axes to the right, front and top.

    `image`: float32, whole numbers; magnetic resonance in arbitrary units of the scanner, CT in Hounsfield units.
    `affine`: voxel index to scan world (mm), origin at the isocentre. `brain`, `lesion`: true masks. `lesion_type`:
    `none` without a lesion. `template_to_scan`: template world to scan world (mm), the affine nearest to the true
    map over the brain by least squares, which leaves `residual` mm rms; the nonlinear rest has no affine.
    """

    image: Float[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    brain: Bool[np.ndarray, "x y z"]
    lesion: Bool[np.ndarray, "x y z"]
    template_to_scan: Float[np.ndarray, "4 4"]
    residual: float
    pose: Pose
    contrast: Contrast
    lesion_type: str


def make_phantom(
    seed: Sequence[int] | int,
    contrast: Contrast = "T1w",
    lesions: Lesions = "none",
    spacing: float = 2.0,
    pose: Pose | None = None,
) -> Phantom:
    """The phantom of one subject, which depends on the arguments alone; `spacing` in mm, `pose` drawn if None.

    One seed gives one head: all its contrasts have the same position, and a lesion changes nothing beyond its edge.
    About 0.7 s at 2 mm, and more in the first call of a process, which makes the maps of the head. Raises InputError
    for an unknown contrast or lesion type.
    """
    if contrast not in INTENSITY:
        raise InputError(f"there is no contrast named {contrast!r}", do=f"use one of {', '.join(INTENSITY)}")
    anatomy = head(spacing)
    pose = draw_pose(rng_for(seed, "pose")) if pose is None else pose
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = _LOW
    x, y, z = (int(n) for n in (_HIGH - _LOW) // spacing + 1)
    points = template_points(rng_for(seed, "anatomy"), pose, affine, (x, y, z))
    tissue = _tissue(rng_for(seed, "tissue"), anatomy, points, pose.atrophy)
    normal = _jittered(rng_for(seed, "intensity", contrast), INTENSITY[contrast])
    scene = _compose(rng_for(seed, "shell"), anatomy, points, tissue, normal, spacing)
    lesion_type = add_lesions(scene, lesions, contrast, rng_for(seed, "lesions"))
    image = _scan(rng_for(seed, "scan", contrast), scene, contrast)
    where = affine[:3, :3] @ np.stack(np.nonzero(scene.brain)) + affine[:3, 3:]
    fit, residual = best_affine(points[:, scene.brain][:, ::7], where[:, ::7])
    return Phantom(image, affine, scene.brain, scene.lesion, fit, residual, pose, contrast, lesion_type)


def _sample(
    maps: Float[np.ndarray, "c a b d"], affine: Float[np.ndarray, "4 4"], points: Float[np.ndarray, "3 ..."]
) -> Float[np.ndarray, "c ..."]:
    """Linear interpolation of `maps` at template points (mm); beyond their box the nearest value."""
    size = np.array(maps.shape[1:])
    gain = 2 / (np.diag(affine)[:3] * (size - 1))  # to the unit cube of grid_sample, whose order is z, y, x
    grid = np.empty((*points.shape[1:], 3), np.float32)
    for axis in range(3):
        grid[..., 2 - axis] = (points[axis] - affine[axis, 3]) * gain[axis] - 1
    flat = torch.from_numpy(grid.reshape(1, 1, 1, -1, 3))
    source = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))[None]
    found = torch.nn.functional.grid_sample(source, flat, padding_mode="border", align_corners=True)
    return found.numpy().reshape(len(maps), *points.shape[1:])


@dataclass(frozen=True)
class _Tissue:
    """The subject's brain as a list of the voxels in `inner`: shares of white, grey, fluid; mask; mm to ventricles."""

    hull: Float[np.ndarray, "x y z"]
    inner: Bool[np.ndarray, "x y z"]
    share: Float[np.ndarray, "3 n"]
    brain: Bool[np.ndarray, " n"]
    ventricle: Float[np.ndarray, " n"]


def _tissue(rng: np.random.Generator, anatomy: Head, points: Float[np.ndarray, "3 x y z"], atrophy: float) -> _Tissue:
    """Tissue shares; noise of sigma 4 mm shifts the borders, which the template's average would leave alike.

    Atrophy widens the fluid of the outermost 12 mm.
    """
    hull = _sample(anatomy.hull[None], anatomy.affine, points)[0]
    inner = hull < 4
    inside = points[:, inner]
    white, grey, brain = _sample(anatomy.tissue, anatomy.tissue_affine, inside)
    ventricle = _sample(anatomy.ventricle[None], anatomy.affine, inside)[0]
    shape: Shape = hull.shape
    spacing = float((_HIGH[0] - _LOW[0]) / (shape[0] - 1))
    weight = np.stack([white, grey, np.clip(1 - white - grey, 0, 1)]).clip(1e-3) ** 1.6  # sharper than the average
    for row in weight[:2]:
        row *= np.exp(0.3 * smooth_field(rng, shape, 4.0 / spacing)[inner])
    weight[2] *= 1 + 12 * atrophy * np.clip(1 + hull[inner] / 12, 0, 1)
    share = weight / weight.sum(axis=0)
    return _Tissue(hull, inner, share, brain > 0.5, ventricle)


def _jittered(rng: np.random.Generator, values: Values) -> Values:
    """Values with a spread of 4 %, but for air, which defines the scale of Hounsfield."""
    return {name: value * (1 + 0.04 * float(rng.standard_normal()) * (name != "air")) for name, value in values.items()}


def _compose(
    rng: np.random.Generator,
    anatomy: Head,
    points: Float[np.ndarray, "3 x y z"],
    tissue: _Tissue,
    normal: Values,
    spacing: float,
) -> Scene:
    """The noiseless scan: face and neck, then the shell by its distance from the brain, then the brain."""
    hull, shape = tissue.hull, tissue.hull.shape
    air = normal["air"]
    looks = np.array([0.0 if name == "outside" else normal[name] - air for name in LABELS], np.float32)
    solid = np.stack([looks[anatomy.outer], (anatomy.outer > 0).astype(np.float32)])
    face, member = _sample(solid, anatomy.affine, points)
    uneven = 1 + 0.12 * smooth_field(rng, shape, 25.0 / spacing)
    skull = _CSF + _SKULL * rng.uniform(0.8, 1.25) * uneven
    scalp = skull + _SCALP * rng.uniform(0.75, 1.3)

    def up_to(edge: Float[np.ndarray, "x y z"] | float) -> Float[np.ndarray, "x y z"]:
        return np.asarray(np.clip(0.5 + (edge - hull) / spacing, 0, 1), np.float32)  # share of the voxel below edge

    values = air + face + (1 - member) * up_to(scalp) * (normal["scalp"] - air)
    marrow = np.clip(1 - np.abs(hull - 0.5 * (skull + _CSF)) / (0.28 * (skull - _CSF)), 0, 1)
    bone = normal["skull"] + marrow * (normal["diploe"] - normal["skull"])
    values += up_to(skull) * (bone - values)
    values += up_to(_CSF) * (normal["csf"] - values)
    blank = np.zeros(shape, np.float32)
    brain, white, solid_share, ventricle = np.zeros(shape, bool), blank, blank.copy(), blank.copy()
    brain[tissue.inner] = tissue.brain
    levels = np.array([normal["white"], normal["grey"], normal["csf"]], np.float32)
    values[brain] = (levels @ tissue.share)[tissue.brain]
    white[brain] = tissue.share[0][tissue.brain]
    solid_share[brain] = tissue.share[:2].sum(axis=0)[tissue.brain]
    ventricle[brain] = tissue.ventricle[tissue.brain]
    values = np.asarray(values, np.float32)
    return Scene(values, brain, white, solid_share, ventricle, np.zeros(shape, bool), spacing)


def _scan(rng: np.random.Generator, scene: Scene, contrast: Contrast) -> Float[np.ndarray, "x y z"]:
    """Texture, then the scanner: bias, gain and Rician noise for magnetic resonance, correlated noise for CT."""
    shape, spacing = scene.values.shape, scene.spacing
    texture = 0.03 * smooth_field(rng, shape, 3.0 / spacing)
    if contrast == "CT":
        soft = np.abs(scene.values) < 200
        noise = rng.uniform(3, 5) * smooth_field(rng, shape, 0.5)
        return np.asarray(np.rint(scene.values + 30 * texture * soft + noise), np.float32)
    bias = np.exp(0.12 * smooth_field(rng, shape, 45.0 / spacing))
    clean = scene.values * (1 + texture) * bias
    sigma = rng.uniform(0.015, 0.035) * INTENSITY[contrast]["white"]
    real = clean + sigma * rng.standard_normal(shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(shape, dtype=np.float32)
    gain = np.exp(rng.uniform(np.log(250), np.log(1500)))
    return np.asarray(np.rint(gain * np.hypot(real, imaginary)), np.float32)
