"""Lesions drawn into a healthy scan, or into some slices of it, with labels of what is darker and what is brighter."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.config.synthetic import Kind, SyntheticLesions
from brainuad.images.synthetic_lesions.kinds import KINDS, Levels, Place, selected
from brainuad.images.synthetic_lesions.shapes import Shape, draw_shape

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
CHANGE_SIGMA = 1.0
"""Sigma in voxels under which a change must be visible."""


@dataclass(frozen=True)
class HealthySlab:
    """Consecutive slices of a healthy scan. `levels` and `spacing` (mm) are those of the scan.

    `foreign`: as many slices of another healthy scan. `first`, `last`: the slices (of the slab) that lesions are drawn
    around.
    """

    image: Image
    brain: Mask
    foreign: Image
    levels: Levels
    spacing: float
    first: int
    last: int


@dataclass(frozen=True)
class Drawn:
    """One lesion: its kind and shape."""

    kind: Kind
    shape: Shape


@dataclass(frozen=True)
class Sample:
    """Slices with lesions. `dark`, `bright`: voxels that a detector of such lesions should mark."""

    image: Image
    dark: Mask
    bright: Mask
    lesions: list[Drawn] = field(default_factory=list)


def draw_lesions(slab: HealthySlab, rng: np.random.Generator, settings: SyntheticLesions) -> Sample:
    """A sample of `slab`, or its healthy copy. Outside the lesions nothing changes.

    A voxel is labelled where more than half of it is lesion and the change, smoothed, exceeds `settings.visible`: dark
    or bright by the sign of the change, both for kinds without a direction. A later lesion has the say over an earlier
    one.
    """
    image = slab.image.astype(np.float32)
    sample = Sample(image, np.zeros(image.shape, bool), np.zeros(image.shape, bool))
    if rng.random() < settings.healthy:
        return sample
    for _ in range(int(rng.integers(settings.count[0], settings.count[1], endpoint=True))):
        _draw_one(sample, slab, rng, settings)
    return sample


def _draw_one(sample: Sample, slab: HealthySlab, rng: np.random.Generator, settings: SyntheticLesions) -> None:
    places = np.flatnonzero(slab.brain[:, :, slab.first : slab.last + 1])
    if not places.size:
        return
    kinds = list(settings.kinds)
    weights = np.array([settings.kinds[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    x, y, z = np.unravel_index(places[rng.integers(places.size)], (*slab.brain.shape[:2], slab.last + 1 - slab.first))
    width, depth, height = slab.brain.shape
    volume = (width, depth, height)
    shape = draw_shape(rng, volume, slab.spacing, np.array([x, y, z + slab.first], float), settings)
    window = shape.window
    brain, before = slab.brain[window], sample.image[window]
    foreign = _another_place(slab.foreign, window, rng)
    radius = shape.radius_mm / slab.spacing
    place = Place(before, brain, shape.weight * brain, foreign, slab.levels, slab.spacing, radius)
    if rng.random() < settings.selective:
        place = Place(before, brain, selected(place, rng), foreign, slab.levels, slab.spacing, radius)
    after, either = KINDS[kind](place, rng, settings)
    change = np.where(brain, after - before, 0)
    smooth = ndimage.gaussian_filter(change, CHANGE_SIGMA, truncate=3)
    size = ndimage.gaussian_filter(np.abs(change), CHANGE_SIGMA, truncate=3) if either else np.abs(smooth)
    lesion = (place.weight > 0.5) & (size > settings.visible * slab.levels.range)
    sample.dark[window] = np.where(lesion, either | (smooth < 0), sample.dark[window])
    sample.bright[window] = np.where(lesion, either | (smooth > 0), sample.bright[window])
    before += change
    sample.lesions.append(Drawn(kind, shape))


def _another_place(foreign: Image, window: tuple[slice, slice, slice], rng: np.random.Generator) -> Image:
    """A part of the foreign slices as large as the window, from a random place; mirrored at the borders."""
    rows = []
    for part, n in zip(window, foreign.shape, strict=True):
        start = part.start + int(rng.integers(-n // 4, n // 4 + 1))
        folded = np.arange(start, start + part.stop - part.start) % (2 * n)
        rows.append(np.minimum(folded, 2 * n - 1 - folded))
    return np.asarray(foreign[np.ix_(*rows)], np.float32)
