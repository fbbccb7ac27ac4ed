"""Artificial anomalies in healthy registered scans, with exact masks.

The kinds are those that the MOOD challenge names (Zimmerer 2022): an even shift of intensity, noise, blur, a piece from
elsewhere, a local deformation, a reflection; and `sprite`, a foreign object of even intensity. Kuznetsov & Simpson's
poster shows synthesised anomalies without saying how they were made, so sprites are ours.
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
"""Least share of an anomaly that lies in the brain; what lies outside is cut off."""
ROUGH = 0.15
"""Standard deviation of a blob's surface, relative to its radius."""
BLUR_MM = 8.0
"""Sigma of a `blur` of strength 1."""


@dataclass(frozen=True)
class Piece:
    """The place of an anomaly in a scan.

    `window`: the part of the grid; `depth`: there, mm under the surface, below 0 outside; `centre`: voxel index;
    `radius`: mean, in mm; `span`: intensity of tissue less that of fluid; `tissue`: its intensity.
    """

    image: Image
    brain: Mask
    window: Window
    depth: Part
    centre: Float[np.ndarray, "3"]
    radius: float
    strength: float
    spacing: float
    tissue: float
    span: float

    @property
    def before(self) -> Part:
        """The scan in the window."""
        return self.image[self.window]


Made = tuple[Part, Bool[np.ndarray, "a b c"]]
"""What the window would show, and where it may."""


def plant_anomaly(
    image: Image,
    brain: Mask,
    kind: AnomalyType,
    rng: np.random.Generator,
    settings: Anomaly,
    spacing: float = 2.0,
    seen: Mask | None = None,
) -> tuple[Image, Mask]:
    """The scan with an anomaly of one `kind`, and the anomaly's exact extent.

    `image`: before intensity scaling, any unit; `spacing`: mm; `seen`: where centres may lie, the whole brain if None.
    The extent lies in the brain: where the edge's weight exceeds one half; half an edge's width beyond it nothing
    changes. Raises InputError if none of 40 draws has a place.
    """
    fluid, tissue = fluid_and_tissue(image, brain)
    places = np.flatnonzero(brain if seen is None else brain & seen)
    if not places.size:
        raise InputError("the anomaly finds no place in the brain", why="models see none of it", do="widen the grid")
    for _ in range(TRIES):
        piece = _piece(image, brain, places, rng, settings, spacing, tissue, tissue - fluid)
        inside = piece.depth > 0
        after, there = MAKERS[kind](piece, rng)
        there = there & brain[piece.window]
        if (inside & there).sum() < INSIDE * inside.sum():
            continue
        edge = spacing / 100 if kind == "sprite" else settings.edge_mm
        weight = np.clip(0.5 + piece.depth / edge, 0, 1) * there
        planted = image.astype(np.float32)
        planted[piece.window] += weight * (after - piece.before)
        truth = np.zeros(brain.shape, bool)
        truth[piece.window] = inside & there
        return planted, truth
    why = f"none of {TRIES} draws of {settings.radius_mm[0]:g} to {settings.radius_mm[1]:g} mm lies inside it"
    raise InputError("the anomaly finds no place in the brain", why=why, do="lower radius_mm")


def _piece(
    image: Image,
    brain: Mask,
    places: Int[np.ndarray, "n"],
    rng: np.random.Generator,
    settings: Anomaly,
    spacing: float,
    tissue: float,
    span: float,
) -> Piece:
    centre = np.array(np.unravel_index(places[rng.integers(places.size)], brain.shape))
    radius, strength = float(rng.uniform(*settings.radius_mm)), float(rng.uniform(*settings.strength))
    round_ = settings.shape == "sphere"
    radii = np.full(3, radius) if round_ else radius * rng.uniform(0.7, 1.3, 3)
    window, cover = blob(brain.shape, spacing, centre, radii, 0.0 if round_ else ROUGH, 1.0, rng)
    labels, count = components.label(cover > 0.5)
    whole = components.keep(labels, components.sizes(labels, count) == components.sizes(labels, count).max())
    under = depth(whole) * spacing
    return Piece(image, brain, window, under, centre, float(radii.mean()), strength, spacing, tissue, span)


def _uniform(piece: Piece, rng: np.random.Generator) -> Made:
    """A constant brighter or darker."""
    return piece.before + rng.choice([-1, 1]) * piece.strength * piece.span, _everywhere(piece)


def _noise(piece: Piece, rng: np.random.Generator) -> Made:
    """White noise on top."""
    grain = rng.standard_normal(piece.depth.shape, dtype=np.float32)
    return piece.before + piece.strength * piece.span * grain, _everywhere(piece)


def _blur(piece: Piece, _: np.random.Generator) -> Made:
    """A Gaussian that leaves out what is no brain."""
    sigma = piece.strength * BLUR_MM / piece.spacing
    grown = tuple(slice(max(0, part.start - int(4 * sigma)), part.stop + int(4 * sigma) + 1) for part in piece.window)
    inner = tuple(
        slice(part.start - wide.start, part.stop - wide.start) for part, wide in zip(piece.window, grown, strict=True)
    )
    weight = piece.brain[grown].astype(np.float32)
    total = ndimage.gaussian_filter(weight * piece.image[grown].astype(np.float32), sigma)
    return (total / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-3))[inner], _everywhere(piece)


def _shift(piece: Piece, rng: np.random.Generator) -> Made:
    """What lies one to three diameters away, in its place; only where brain lies there too."""
    direction = rng.standard_normal(3)
    way = rng.uniform(2, 6) * piece.radius / piece.spacing
    return _sampled(piece, _axes(piece) - np.round(way * direction / np.linalg.norm(direction))[:, None, None, None])


def _reflection(piece: Piece, rng: np.random.Generator) -> Made:
    """Mirrored about its own centre, along an axis of the grid; only where brain lies on both sides."""
    at, axis = _axes(piece), int(rng.integers(3))
    at[axis] = 2 * piece.centre[axis] - at[axis]
    return _sampled(piece, at)


def _deformation(piece: Piece, rng: np.random.Generator) -> Made:
    """A bulge or a sink: tissue moves away from the centre or towards it, not at all on the surface."""
    depth = np.clip(piece.depth / piece.radius, 0, 1)
    pull = rng.choice([-1, 1]) * piece.strength / 2 * (1 - (1 - depth) ** 2)
    centre = piece.centre[:, None, None, None]
    return _sampled(piece, centre + (_axes(piece) - centre) * (1 - np.clip(pull, -0.5, 0.9)))


def _sprite(piece: Piece, rng: np.random.Generator) -> Made:
    """A foreign object of even intensity, brighter or darker than tissue."""
    value = piece.tissue + rng.choice([-1, 1]) * piece.strength * piece.span
    return np.full(piece.depth.shape, value, np.float32), _everywhere(piece)


def _sampled(piece: Piece, at: Float[np.ndarray, "3 a b c"]) -> Made:
    """The scan at these voxel indices, linear between them, and whether brain lies there."""
    there = ndimage.map_coordinates(piece.brain.astype(np.float32), at, order=1) > 0.5
    return ndimage.map_coordinates(piece.image.astype(np.float32), at, order=1), there


def _axes(piece: Piece) -> Float[np.ndarray, "3 a b c"]:
    """Voxel index of each voxel of the window."""
    return np.stack(
        np.meshgrid(*(np.arange(part.start, part.stop, dtype=float) for part in piece.window), indexing="ij")
    )


def _everywhere(piece: Piece) -> Bool[np.ndarray, "a b c"]:
    return np.ones(piece.depth.shape, bool)


MAKERS: dict[str, Callable[[Piece, np.random.Generator], Made]] = {
    "uniform": _uniform,
    "noise": _noise,
    "blur": _blur,
    "shift": _shift,
    "deformation": _deformation,
    "reflection": _reflection,
    "sprite": _sprite,
}
