"""A sheet of synthetic lesions: each slice before and after, and the labels, so that a person can judge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from brainuad.config.synthetic import SyntheticLesions
from brainuad.errors import InputError
from brainuad.images.seeds import rng_for
from brainuad.images.synthetic_lesions.kinds import Levels
from brainuad.images.synthetic_lesions.lesions import HealthySlab, Sample, draw_lesions

COLUMNS, ROWS = 4, 2
CAPTION, GAP, TITLE_HEIGHT = 16, 6, 26
"""Pixels of a caption, between tiles, and of the title."""
WHITE, BLACK = (255, 255, 255), (30, 30, 30)
DARK, BRIGHT, EITHER = (86, 180, 233), (230, 120, 0), (0, 200, 120)
"""Outlines of what counts as dark, as bright, and as both: distinct for people with colour blindness."""
ENLARGED = 2
"""Pixels of the picture along a voxel."""
BRIGHTEST = 99.0
"""Percentile of all brains that is drawn white; 0 is black."""
MOST_SCANS, TRIES = 12, 10
"""Scans of which samples are drawn, and draws for each tile, as some show nothing."""


@dataclass(frozen=True)
class Tile:
    """One axial slice of a sample, (x, y) arrays. `caption`: what was drawn."""

    caption: str
    before: Float[np.ndarray, "x y"]
    after: Float[np.ndarray, "x y"]
    dark: Bool[np.ndarray, "x y"]
    bright: Bool[np.ndarray, "x y"]

    def part(self, index: tuple[slice, ...]) -> Tile:
        """A part of the slice."""
        return Tile(self.caption, self.before[index], self.after[index], self.dark[index], self.bright[index])


def example_tiles(
    images: Sequence[Float[np.ndarray, "x y z"]],
    brains: Sequence[Bool[np.ndarray, "x y z"]],
    spacing: float,
    settings: SyntheticLesions,
    seed: int = 0,
) -> list[Tile]:
    """For each kind of lesion that the settings draw, eight samples from small to large, at a slice that shows it.

    Each sample has one lesion. Raises InputError if nothing that is drawn can be seen.
    """
    shown = min(len(images), MOST_SCANS)
    levels = [Levels.of(np.asarray(images[i]), brains[i]) for i in range(shown)]
    tiles = []
    for kind, weight in settings.kinds.items():
        alone = settings.model_copy(update={"kinds": {kind: 1.0}, "healthy": 0.0, "count": (1, 1)})
        found: list[tuple[float, Tile]] = []
        for number in range(TRIES * COLUMNS * ROWS if weight else 0):
            if len(found) == COLUMNS * ROWS:
                break
            rng = rng_for([seed, number], "sheet of lesions", kind)
            scan, other = rng.integers(shown, size=2)
            image, height = np.asarray(images[scan], np.float32), images[scan].shape[2]
            foreign = np.asarray(images[other], np.float32)
            slab = HealthySlab(image, brains[scan], foreign, levels[scan], spacing, height // 4, height - height // 4)
            sample = draw_lesions(slab, rng, alone)
            if (sample.dark | sample.bright).any():
                found.append((sample.lesions[0].shape.radius_mm, _tile(slab, sample, spacing)))
        tiles += [tile for _, tile in sorted(found, key=lambda pair: pair[0])]
    if not tiles:
        raise InputError("no lesion that is drawn can be seen", do="raise lesions.strength or lower lesions.visible")
    return tiles


def _tile(slab: HealthySlab, sample: Sample, spacing: float) -> Tile:
    """The slice with the largest label."""
    (lesion,) = sample.lesions
    label = sample.dark | sample.bright
    level = int(label.sum((0, 1)).argmax())
    volume = label.sum() * spacing**3 / 1000
    caption = f"{lesion.kind}, {lesion.shape.radius_mm:.0f} mm, {volume:.1f} ml"
    parts = (slab.image, sample.image, sample.dark, sample.bright)
    return Tile(caption, *(part[:, :, level] for part in parts))


def lesion_sheet(title: str, tiles: Sequence[Tile]) -> Image.Image:
    """Four columns of tiles: the healthy slice, then the changed one, then that with outlines.

    All tiles, of which there is one at least, have slices of one size; what is outside of all brains is cut off.
    """
    heads = np.stack([tile.before for tile in tiles])
    white = float(np.percentile(heads[heads > 0], BRIGHTEST)) if (heads > 0).any() else 1.0
    seen = ndimage.find_objects((heads != 0).any(0).astype(np.uint8)) or [(slice(None), slice(None))]
    tiles = [tile.part(seen[0]) for tile in tiles]
    x, y = tiles[0].before.shape
    width, height = 3 * x * ENLARGED + GAP, y * ENLARGED + CAPTION + GAP
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width + GAP, TITLE_HEIGHT + rows * height + GAP), WHITE)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), title, BLACK, ImageFont.load_default(14))
    for number, tile in enumerate(tiles):
        left, top = GAP + number % COLUMNS * width, TITLE_HEIGHT + number // COLUMNS * height
        panels = [_grey(tile.before, white), _grey(tile.after, white), _outlined(tile, white)]
        page.paste(Image.fromarray(np.concatenate(panels, axis=1)), (left, top))
        draw.text((left, top + y * ENLARGED), tile.caption, BLACK, ImageFont.load_default(11))
    return page


def _grey(plane: Float[np.ndarray, "x y"], white: float) -> UInt8[np.ndarray, "h w 3"]:
    """The slice as a picture: front up, the subject's right on the left."""
    grey = (255 * np.clip(plane / white, 0, 1)).astype(np.uint8)
    return np.repeat(_enlarged(grey)[:, :, None], 3, axis=2)


def _outlined(tile: Tile, white: float) -> UInt8[np.ndarray, "h w 3"]:
    picture = _grey(tile.after, white)
    for mask, colour in (
        (tile.dark & ~tile.bright, DARK),
        (tile.bright & ~tile.dark, BRIGHT),
        (tile.dark & tile.bright, EITHER),
    ):
        large = _enlarged(mask)
        picture[large & ~ndimage.binary_erosion(large)] = colour
    return picture


def _enlarged(plane: np.ndarray) -> np.ndarray:
    upright = plane.T[::-1]
    return upright.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
