"""Lesions of phantoms: irregular ellipsoids with soft edges and exact masks, drawn before noise is added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from brainuad.errors import InputError
from brainuad.images.contrasts import LESION, Contrast, Lesions
from brainuad.images.fields import smooth_field

Window = tuple[slice, slice, slice]


@dataclass
class Scene:
    """A phantom without noise, changed in place. All arrays (x, y, z) on one grid of `spacing` mm.

    `values`: noiseless intensities. `brain`: mask. `white`, `solid`: share of white matter and of any tissue but fluid,
    in [0, 1], 0 outside the brain. `ventricle`: mm to the ventricles. `lesion`: voxels that a lesion covers by over
    one half.
    """

    values: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    white: Float[np.ndarray, "x y z"]
    solid: Float[np.ndarray, "x y z"]
    ventricle: Float[np.ndarray, "x y z"]
    lesion: Bool[np.ndarray, "x y z"]
    spacing: float


def add_lesions(scene: Scene, lesions: Lesions, contrast: Contrast, rng: np.random.Generator) -> str:
    """Draw lesions of one type ("mixed": a random one) into the scene; returns the type.

    A stroke is a dark infarct on T1w or, in a third of subjects, a haemorrhage (bright on T1w, CT).
    """
    if lesions == "none":
        return "none"
    chosen = str(rng.choice(["ms", "tumour", "stroke"])) if lesions == "mixed" else lesions
    if chosen not in PAINTERS:
        raise InputError(f"there are no lesions named {lesions!r}", do=f"use none, mixed or {', '.join(PAINTERS)}")
    strength = rng.uniform(0.45, 1.0)  # per subject: from subtle to plain
    if chosen == "stroke" and rng.random() < 1 / 3:
        chosen = "haemorrhage"
    PAINTERS[chosen](scene, LESION[contrast], strength, rng)
    return chosen


def _multiple_sclerosis(scene: Scene, target: dict[str, float], strength: float, rng: np.random.Generator) -> None:
    """8 to 25 plaques, radius lognormal around 3.4 mm (2 to 8); three quarters near the ventricles."""
    count = int(rng.integers(8, 26))
    near = scene.white * np.exp(-scene.ventricle / 5.0)
    centres = [_pick(near if rng.random() < 0.75 else scene.solid * (scene.ventricle > 4), rng) for _ in range(count)]
    for centre in centres:
        radius = float(np.clip(rng.lognormal(np.log(3.4), 0.4), 2, 8))
        window, cover = blob(
            scene.brain.shape, scene.spacing, centre, radius * rng.uniform(0.8, 1.25, 3), 0.25, 2.0, rng
        )
        cover = np.clip(cover, 0, 1) * np.clip(1.6 * scene.solid[window] - 0.2, 0, 1)
        _paint(scene, window, cover, target["plaque"], min(1.0, strength * rng.uniform(0.8, 1.15)))


def _tumour(scene: Scene, target: dict[str, float], strength: float, rng: np.random.Generator) -> None:
    """Necrotic core in an uneven rim (outer radius 9 to 16 mm), oedema along white matter to 1.5 to 1.9 radii."""
    radius = rng.uniform(9, 16)
    shape = radius * rng.uniform(0.85, 1.2, 3)
    centre = _pick(scene.white * (scene.ventricle > 0.5 * radius), rng)
    window, reach = blob(scene.brain.shape, scene.spacing, centre, shape * rng.uniform(1.5, 1.9), 0.35, 3.0, rng)
    oedema = np.clip(reach, 0, 1) * np.clip(0.25 + 1.2 * scene.white[window], 0, 1) * (scene.solid[window] > 0.4)
    _paint(scene, window, oedema, target["oedema"], strength)
    window, solid = blob(scene.brain.shape, scene.spacing, centre, shape, 0.25, 2.0, rng)
    _paint(scene, window, np.clip(solid, 0, 1), target["rim"], strength * rng.uniform(0.6, 1.0))
    core = np.clip(solid - rng.uniform(2.0, 4.5) / 2.0, 0, 1)  # 2 to 4.5 mm below the surface
    _paint(scene, window, core, target["necrosis"], strength)


def _infarct(scene: Scene, target: dict[str, float], strength: float, rng: np.random.Generator) -> None:
    """Two to four joined blobs, the largest of 8 to 24 mm, anywhere in grey and white matter."""
    centre = _pick(scene.solid, rng)
    largest = float(np.clip(rng.lognormal(np.log(13), 0.4), 8, 24))
    for part in range(int(rng.integers(2, 5))):
        radius = largest * (1.0 if part == 0 else rng.uniform(0.5, 0.9))
        offset = rng.uniform(-0.8, 0.8, 3) * largest * (part > 0)
        window, cover = blob(
            scene.brain.shape, scene.spacing, centre + offset, radius * rng.uniform(0.7, 1.3, 3), 0.35, 3.0, rng
        )
        _paint(scene, window, np.clip(cover, 0, 1), target["infarct"], strength * rng.uniform(0.7, 1.0))


def _haemorrhage(scene: Scene, target: dict[str, float], strength: float, rng: np.random.Generator) -> None:
    """Blood of 7 to 15 mm in a rim of oedema 2 to 4 mm wide."""
    radius = rng.uniform(7, 15) * rng.uniform(0.85, 1.2, 3)
    centre = _pick(scene.white, rng)
    window, reach = blob(scene.brain.shape, scene.spacing, centre, radius, 0.25, 2.0, rng)
    _paint(scene, window, np.clip(reach + rng.uniform(1, 2), 0, 1) * scene.solid[window], target["oedema"], strength)
    _paint(scene, window, np.clip(reach, 0, 1), target["blood"], max(strength, 0.65))


def _subdural(scene: Scene, target: dict[str, float], strength: float, rng: np.random.Generator) -> None:
    """A crescent over one hemisphere, 7 to 12 mm thick and reaching 50 to 70 mm from its middle."""
    _under_the_skull(scene, target, strength, rng, reach=rng.uniform(50, 70), thick=rng.uniform(7, 12))


def _epidural(scene: Scene, target: dict[str, float], strength: float, rng: np.random.Generator) -> None:
    """A lens at one side, 12 to 22 mm thick and reaching 22 to 34 mm from its middle."""
    _under_the_skull(scene, target, strength, rng, reach=rng.uniform(22, 34), thick=rng.uniform(12, 22))


def _under_the_skull(
    scene: Scene, target: dict[str, float], strength: float, rng: np.random.Generator, reach: float, thick: float
) -> None:
    """Blood in the place of the brain's outermost part, thickest in the middle; `reach`, `thick` in mm."""
    depth = distance_transform_edt(scene.brain, sampling=scene.spacing).astype(np.float32)
    sides, _, height = np.indices(depth.shape, dtype=np.float32)
    lateral = np.abs(sides - np.average(sides, weights=scene.brain)) * scene.spacing > 40
    upper = height > np.average(height, weights=scene.brain)
    centre = _pick(scene.brain * (depth < 1.5 * scene.spacing) * lateral * upper, rng)
    offsets = [(np.arange(n) - c) * scene.spacing for n, c in zip(depth.shape, centre, strict=True)]
    away = np.sqrt(sum(part**2 for part in np.ix_(*offsets)))
    profile = thick * np.clip(1 - (away / reach) ** 2, 0, None)
    cover = np.clip(0.5 + (profile - depth) / 2.0, 0, 1) * (profile > 0)
    whole = (slice(None), slice(None), slice(None))
    _paint(scene, whole, np.asarray(cover, np.float32), target["blood"], max(strength, 0.65))


def _pick(weight: Float[np.ndarray, "x y z"], rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A voxel index drawn with probability proportional to `weight`."""
    total = np.cumsum(weight, dtype=np.float64)
    flat = int(np.searchsorted(total, rng.random() * total[-1]))
    return np.array(np.unravel_index(min(flat, weight.size - 1), weight.shape), dtype=float)


def blob(
    shape: tuple[int, ...],
    spacing: float,
    centre: Float[np.ndarray, "3"],
    radii: Float[np.ndarray, "3"],
    roughness: float,
    edge: float,
    rng: np.random.Generator,
) -> tuple[Window, Float[np.ndarray, "a b c"]]:
    """A rotated ellipsoid with a rough surface: its window, and there 0.5 + depth / `edge`, both in mm.

    Values above 0.5 lie inside.
    """
    reach = (1 + 2 * roughness) * radii.max() / spacing + 4
    low = [int(max(0, np.floor(c - reach))) for c in centre]
    high = [int(min(n, np.ceil(c + reach) + 1)) for c, n in zip(centre, shape, strict=True)]
    window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    turn = Rotation.random(random_state=rng).as_matrix()
    axes = np.ix_(*[np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)])
    across = [sum(turn[i, k] * axes[k] for k in range(3)) * spacing / radii[i] for i in range(3)]
    distance = np.sqrt(sum(part**2 for part in across))
    size = float(radii.mean())
    noise = smooth_field(rng, distance.shape, max(0.8, 0.3 * size / spacing))
    depth = (1 - distance + roughness * noise) * size
    return window, np.asarray(0.5 + depth / edge, dtype=np.float32)


def _paint(scene: Scene, window: Window, cover: Float[np.ndarray, "a b c"], target: float, strength: float) -> None:
    cover = cover * scene.brain[window]
    values = scene.values[window]
    values += strength * cover * (target - values)
    scene.lesion[window] |= cover > 0.5


PAINTERS: dict[str, Callable[[Scene, dict[str, float], float, np.random.Generator], None]] = {
    "ms": _multiple_sclerosis,
    "tumour": _tumour,
    "stroke": _infarct,
    "haemorrhage": _haemorrhage,
    "subdural": _subdural,
    "epidural": _epidural,
}
