"""Artificial anomalies in healthy registered scans, with exact masks.

The types are those that the MOOD challenge names (Zimmerer 2022): a constant shift of intensity, noise, blur, a copy of
another place, a local deformation, a reflection; and `sprite`, a foreign object of constant intensity. The poster of
Kuznetsov & Simpson shows synthesised anomalies without a method, so the method of sprites is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from brainuad.config.anomalies import Anomaly, AnomalyType
from brainuad.errors import InputError
from brainuad.images import components
from brainuad.images.insert import depth, fluid_and_tissue
from brainuad.images.lesions import Window, blob

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
Part = Float[np.ndarray, "a b c"]

TRIES = 40
INSIDE = 0.7
"""Least share of an anomaly inside the brain; the rest is removed."""
ROUGHNESS = 0.15
"""Standard deviation of a blob's surface, relative to its radius."""
BLUR_MM = 8.0
"""Sigma of a `blur` of strength 1."""


@dataclass(frozen=True)
class HealthyScan:
    """A registered scan before intensity scaling. `spacing`: mm; `fluid`, `tissue`: their intensities."""

    image: Image
    brain: Mask
    spacing: float
    fluid: float
    tissue: float

    @property
    def span(self) -> float:
        """Intensity of tissue minus that of fluid: the unit of strength."""
        return self.tissue - self.fluid


@dataclass(frozen=True)
class Place:
    """Where an anomaly lies in a scan, and how strong it is.

    `window`: the part of the grid that is changed; `depth`: mm under the anomaly's surface there, below 0 outside;
    `centre`: voxel index; `radius`: mean, in mm.
    """

    scan: HealthyScan
    window: Window
    depth: Part
    centre: Float[np.ndarray, "3"]
    radius: float
    strength: float

    @property
    def before(self) -> Part:
        """The scan in the window."""
        return self.scan.image[self.window]


Change = tuple[Part, Bool[np.ndarray, "a b c"]]
"""New intensities of the window, and the voxels that may take them."""


def plant_anomaly(
    image: Image,
    brain: Mask,
    anomaly_type: AnomalyType,
    rng: np.random.Generator,
    settings: Anomaly,
    spacing: float = 2.0,
    seen: Mask | None = None,
) -> tuple[Image, Mask]:
    """The scan with an anomaly, and the mask of the anomaly.

    `image`: before intensity scaling, any unit; `spacing`: mm; `seen`: where centres may lie, the whole brain if None.
    The mask lies inside the brain and holds the voxels where the weight of the soft edge exceeds one half; more than
    half an edge's width outside it nothing changes. Raises InputError if none of 40 draws fits into the brain.
    """
    scan = HealthyScan(image, brain, spacing, *fluid_and_tissue(image, brain))
    places = np.flatnonzero(brain if seen is None else brain & seen)
    if not places.size:
        raise InputError("the anomaly finds no place in the brain", why="models see none of it", do="widen the grid")
    for _ in range(TRIES):
        place = _draw_place(scan, places, rng, settings)
        inside = place.depth > 0
        after, allowed = CHANGES[anomaly_type](place, rng)
        allowed = allowed & brain[place.window]
        if (inside & allowed).sum() < INSIDE * inside.sum():
            continue
        edge = spacing / 100 if anomaly_type == "sprite" else settings.edge_mm
        weight = np.clip(0.5 + place.depth / edge, 0, 1) * allowed
        planted = image.astype(np.float32)
        planted[place.window] += weight * (after - place.before)
        mask = np.zeros(brain.shape, bool)
        mask[place.window] = inside & allowed
        return planted, mask
    why = f"none of {TRIES} draws of {settings.radius_mm[0]:g} to {settings.radius_mm[1]:g} mm lies inside it"
    raise InputError("the anomaly finds no place in the brain", why=why, do="lower radius_mm")


def _draw_place(scan: HealthyScan, places: Int[np.ndarray, "n"], rng: np.random.Generator, settings: Anomaly) -> Place:
    """`places`: flat indices of the voxels where the centre may lie."""
    shape = scan.brain.shape
    centre = np.array(np.unravel_index(places[rng.integers(places.size)], shape))
    radius, strength = float(rng.uniform(*settings.radius_mm)), float(rng.uniform(*settings.strength))
    is_sphere = settings.shape == "sphere"
    radii = np.full(3, radius) if is_sphere else radius * rng.uniform(0.7, 1.3, 3)
    window, cover = blob(shape, scan.spacing, centre, radii, 0.0 if is_sphere else ROUGHNESS, 1.0, rng)
    labels, count = components.label(cover > 0.5)
    largest = components.keep(labels, components.sizes(labels, count) == components.sizes(labels, count).max())
    return Place(scan, window, depth(largest) * scan.spacing, centre, float(radii.mean()), strength)


def _uniform(place: Place, rng: np.random.Generator) -> Change:
    """Brighter or darker by a constant."""
    return place.before + rng.choice([-1, 1]) * place.strength * place.scan.span, _everywhere(place)


def _noise(place: Place, rng: np.random.Generator) -> Change:
    """White noise added."""
    grain = rng.standard_normal(place.depth.shape, dtype=np.float32)
    return place.before + place.strength * place.scan.span * grain, _everywhere(place)


def _blur(place: Place, _: np.random.Generator) -> Change:
    """A Gaussian over brain voxels alone."""
    sigma = place.strength * BLUR_MM / place.scan.spacing
    grown = tuple(slice(max(0, part.start - int(4 * sigma)), part.stop + int(4 * sigma) + 1) for part in place.window)
    inner = tuple(
        slice(part.start - wide.start, part.stop - wide.start) for part, wide in zip(place.window, grown, strict=True)
    )
    weight = place.scan.brain[grown].astype(np.float32)
    total = ndimage.gaussian_filter(weight * place.scan.image[grown].astype(np.float32), sigma)
    return (total / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-3))[inner], _everywhere(place)


def _shift(place: Place, rng: np.random.Generator) -> Change:
    """A copy of what lies one to three diameters away, where that is brain too."""
    direction = rng.standard_normal(3)
    way = rng.uniform(2, 6) * place.radius / place.scan.spacing
    return _sampled(place, _axes(place) - np.round(way * direction / np.linalg.norm(direction))[:, None, None, None])


def _reflection(place: Place, rng: np.random.Generator) -> Change:
    """Mirrored about its own centre along an axis of the grid, where both sides are brain."""
    at, axis = _axes(place), int(rng.integers(3))
    at[axis] = 2 * place.centre[axis] - at[axis]
    return _sampled(place, at)


def _deformation(place: Place, rng: np.random.Generator) -> Change:
    """Tissue moves away from the centre or towards it, and not at all on the surface."""
    depth = np.clip(place.depth / place.radius, 0, 1)
    pull = rng.choice([-1, 1]) * place.strength / 2 * (1 - (1 - depth) ** 2)
    centre = place.centre[:, None, None, None]
    return _sampled(place, centre + (_axes(place) - centre) * (1 - np.clip(pull, -0.5, 0.9)))


def _sprite(place: Place, rng: np.random.Generator) -> Change:
    """A foreign object of constant intensity, brighter or darker than tissue."""
    value = place.scan.tissue + rng.choice([-1, 1]) * place.strength * place.scan.span
    return np.full(place.depth.shape, value, np.float32), _everywhere(place)


def _sampled(place: Place, at: Float[np.ndarray, "3 a b c"]) -> Change:
    """The scan at these voxel indices, interpolated linearly, and whether they lie in the brain."""
    there = ndimage.map_coordinates(place.scan.brain.astype(np.float32), at, order=1) > 0.5
    return ndimage.map_coordinates(place.scan.image.astype(np.float32), at, order=1), there


def _axes(place: Place) -> Float[np.ndarray, "3 a b c"]:
    """Voxel index of each voxel of the window."""
    return np.stack(
        np.meshgrid(*(np.arange(part.start, part.stop, dtype=float) for part in place.window), indexing="ij")
    )


def _everywhere(place: Place) -> Bool[np.ndarray, "a b c"]:
    return np.ones(place.depth.shape, bool)


CHANGES: dict[str, Callable[[Place, np.random.Generator], Change]] = {
    "uniform": _uniform,
    "noise": _noise,
    "blur": _blur,
    "shift": _shift,
    "deformation": _deformation,
    "reflection": _reflection,
    "sprite": _sprite,
}
