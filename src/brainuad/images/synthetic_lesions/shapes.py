"""Where a synthetic lesion is: a rotated ellipsoid with a rough border, perhaps with a second part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from brainuad.config.synthetic import SyntheticLesions
from brainuad.images.fields import smooth_field
from brainuad.images.lesions import Window

COARSE, FINE = 0.35, 0.12
"""Scales of the roughness of a border, in radii."""
LARGEST_BUMP = 2.0
"""Bumps of the border beyond this many sd are cut, so that a lesion fits into its window."""
SMALLEST_SCALE = 0.5
"""In voxels: roughness of a smaller scale is that of neighbouring voxels."""


@dataclass(frozen=True)
class Shape:
    """A lesion's place in a volume. `weight`: how much of it is in each voxel of `window`, 0 to 1; half is its border.

    `radius_mm`: that of a sphere as large as the ellipsoid of its first part.
    """

    window: Window
    weight: Float[np.ndarray, "a b c"]
    centre: Float[np.ndarray, "3"]
    radius_mm: float


def draw_radius(rng: np.random.Generator, settings: SyntheticLesions) -> float:
    """A radius in mm, with the density r^-power between the two ends."""
    low, high = settings.radius_mm
    power = 1 - settings.radius_power
    share = rng.random()
    if power == 0:
        return float(low * (high / low) ** share)
    return float((low**power + share * (high**power - low**power)) ** (1 / power))


def draw_shape(
    rng: np.random.Generator,
    volume: tuple[int, int, int],
    spacing: float,
    centre: Float[np.ndarray, "3"],
    settings: SyntheticLesions,
) -> Shape:
    """A shape around `centre` (voxel index) in a volume of this size; it may reach over the volume's border."""
    radius = draw_radius(rng, settings)
    edge = rng.uniform(*settings.edge_mm)
    parts = [_part(rng, volume, spacing, centre, radius, settings)]
    if rng.random() < settings.second:
        direction = rng.standard_normal(3)
        aside = direction / np.linalg.norm(direction) * radius * rng.uniform(0.5, 1.2) / spacing
        parts.append(_part(rng, volume, spacing, centre + aside, radius * rng.uniform(0.4, 0.9), settings))
    window = _around([where for where, _ in parts])
    deepest = np.full([part.stop - part.start for part in window], -np.inf, np.float32)
    for where, depth in parts:
        place = deepest[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(where, window, strict=True))]
        np.maximum(place, depth, out=place)
    return Shape(window, np.clip(0.5 + deepest / edge, 0, 1), centre, radius)


def _part(
    rng: np.random.Generator,
    volume: tuple[int, int, int],
    spacing: float,
    centre: Float[np.ndarray, "3"],
    radius: float,
    settings: SyntheticLesions,
) -> tuple[Window, Float[np.ndarray, "a b c"]]:
    """A window, and in it the depth under the surface of a rough ellipsoid in mm, below 0 outside."""
    stretch = rng.uniform(-settings.elongation, settings.elongation, 3)
    radii = radius * np.exp(stretch - stretch.mean()) / spacing
    turn = Rotation.random(random_state=rng).as_matrix()
    roughness = (rng.uniform(*settings.roughness), rng.uniform(*settings.fine_roughness))
    swell = 1 + LARGEST_BUMP * sum(roughness)
    reach = np.sqrt(np.square(turn * radii[:, None]).sum(0)) * swell + settings.edge_mm[1] / (2 * spacing) + 1
    x, y, z = (
        slice(max(0, min(n - 1, int(np.floor(c - r)))), min(n, max(1, int(np.ceil(c + r)) + 1)))
        for c, r, n in zip(centre, reach, volume, strict=True)
    )
    window = (x, y, z)
    axes = [
        np.arange(part.start, part.stop, dtype=np.float32) - np.float32(c)
        for part, c in zip(window, centre, strict=True)
    ]
    along = np.ix_(*axes)
    scaled = (turn / radii[:, None]).astype(np.float32)
    square = sum(
        np.square(scaled[i, 0] * along[0] + scaled[i, 1] * along[1] + scaled[i, 2] * along[2]) for i in range(3)
    )
    depth = 1 - np.sqrt(square)
    size = radius / spacing
    for sd, scale in zip(roughness, (COARSE, FINE), strict=True):
        bumps = smooth_field(rng, depth.shape, max(scale * size, SMALLEST_SCALE))
        depth += np.float32(sd) * np.clip(bumps, -LARGEST_BUMP, LARGEST_BUMP)
    return window, depth * np.float32(radius)


def _around(windows: list[Window]) -> Window:
    """The smallest window that holds them all."""
    x, y, z = (
        slice(min(window[axis].start for window in windows), max(window[axis].stop for window in windows))
        for axis in range(3)
    )
    return x, y, z
