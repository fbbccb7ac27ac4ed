"""What a synthetic lesion looks like: each kind gives the new intensities of a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from brainuad.config.synthetic import Kind, SyntheticLesions
from brainuad.images.fields import smooth_field

Part = Float[np.ndarray, "a b c"]
GRAIN_MM = (2.0, 6.0)
"""Sigma that divides coarse structure from grain."""
BLUR_MM = (2.0, 6.0)
"""Sigma of the blur of a `texture`."""
TEXTURE = (0.05, 0.3)
"""Sd of an added texture, in units of the scan's range, and in mm its scale:"""
TEXTURE_MM = (1.0, 5.0)


@dataclass(frozen=True)
class Levels:
    """Intensities of a scan in its brain: `fluid` is the 2nd percentile, `tissue` the median."""

    fluid: float
    tissue: float

    @property
    def range(self) -> float:
        """Their difference, the unit of change."""
        return self.tissue - self.fluid

    @classmethod
    def of(cls, image: Float[np.ndarray, "x y z"], brain: Bool[np.ndarray, "x y z"]) -> Levels:
        """Those of a scan."""
        fluid, tissue = np.percentile(image[brain], [2, 50])
        return cls(float(fluid), float(tissue))


@dataclass(frozen=True)
class Place:
    """What a kind may use. `before`, `brain`, `weight`: of the window; `foreign`: another place, 0 outside tissue.

    `spacing`: mm a voxel. `radius`: of the lesion, in voxels.
    """

    before: Part
    brain: Bool[np.ndarray, "a b c"]
    weight: Part
    foreign: Part
    levels: Levels
    spacing: float
    radius: float


Change = tuple[Part, bool]
"""The new intensities, and whether the lesion counts as dark and as bright whatever these are."""


def _towards(place: Place, rng: np.random.Generator, settings: SyntheticLesions) -> Change:
    strength = _log_uniform(rng, settings.strength)
    levels = place.levels
    if rng.random() < settings.dark:
        target = levels.fluid + rng.uniform(*settings.dark_to) * levels.range
    else:
        target = levels.tissue + rng.uniform(*settings.bright_to) * levels.range
    return place.before + strength * place.weight * (target - place.before), False


def _added(place: Place, rng: np.random.Generator, settings: SyntheticLesions) -> Change:
    shift = _log_uniform(rng, settings.shift) * place.levels.range
    sign = -1 if rng.random() < settings.dark else 1
    return place.before + np.float32(sign * shift) * place.weight, False


def _foreign(place: Place, rng: np.random.Generator, settings: SyntheticLesions) -> Change:
    share = np.float32(rng.uniform(*settings.blend)) * place.weight * (place.foreign != 0)
    return place.before + share * (place.foreign - place.before), False


def _grain(place: Place, rng: np.random.Generator, _: SyntheticLesions) -> Change:
    sigma, tissue = rng.uniform(*GRAIN_MM) / place.spacing, place.foreign != 0
    own, foreign = _blurred(place.before, place.brain, sigma), _blurred(place.foreign, tissue, sigma)
    return place.before + place.weight * tissue * (own + place.foreign - foreign - place.before), True


def _moved(place: Place, rng: np.random.Generator, settings: SyntheticLesions) -> Change:
    """Along the gradient of the smoothed weight: from the middle outwards, or inwards."""
    distance = rng.uniform(*settings.move_mm) / place.spacing * (1 if rng.random() < 0.5 else -1)
    smooth = ndimage.gaussian_filter(place.weight, max(0.3 * place.radius, 1.0))
    slopes = [np.gradient(smooth, axis=axis) if n > 1 else np.zeros_like(smooth) for axis, n in enumerate(smooth.shape)]
    steepest = max(float(np.sqrt(sum(np.square(slope) for slope in slopes)).max()), 1e-6)
    grid = np.indices(smooth.shape, dtype=np.float32)
    source = [axis + np.float32(distance / steepest) * slope for axis, slope in zip(grid, slopes, strict=True)]
    moved = ndimage.map_coordinates(place.before, source, order=1, mode="nearest")
    return place.before + np.minimum(2 * place.weight, 1) * (moved - place.before), True


def _texture(place: Place, rng: np.random.Generator, _: SyntheticLesions) -> Change:
    if rng.random() < 0.5:
        smooth = _blurred(place.before, place.brain, rng.uniform(*BLUR_MM) / place.spacing)
        return place.before + place.weight * (smooth - place.before), True
    sd = rng.uniform(*TEXTURE) * place.levels.range
    field = smooth_field(rng, place.weight.shape, max(rng.uniform(*TEXTURE_MM) / place.spacing, 0.5))
    return place.before + np.float32(sd) * place.weight * field, True


KINDS: dict[Kind, Callable[[Place, np.random.Generator, SyntheticLesions], Change]] = {
    "towards": _towards,
    "added": _added,
    "foreign": _foreign,
    "grain": _grain,
    "moved": _moved,
    "texture": _texture,
}


def selected(place: Place, rng: np.random.Generator) -> Part:
    """The weight where the tissue has about the intensity of one random voxel of the lesion, 0 elsewhere."""
    inside = place.before[(place.weight > 0.5) & place.brain]
    if not inside.size:
        return place.weight
    middle = inside[rng.integers(inside.size)]
    half = rng.uniform(0.15, 0.4) * place.levels.range
    fits = np.clip(1.5 - np.abs(place.before - middle) / max(half, 1e-6), 0, 1)
    return np.asarray(place.weight * fits, np.float32)


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(ends))))


def _blurred(image: Part, brain: Bool[np.ndarray, "a b c"], sigma: float) -> Part:
    """A Gaussian over brain voxels alone."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), sigma, mode="constant", truncate=3)
    total = ndimage.gaussian_filter(np.where(brain, image, 0), sigma, mode="constant", truncate=3)
    return np.divide(total, weight, out=image.copy(), where=brain & (weight > 0))
