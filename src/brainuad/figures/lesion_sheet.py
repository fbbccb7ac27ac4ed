"""A sheet of synthetic lesions: each slice before and after, and the labels, so that a person can judge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

COLUMNS = 4
CAPTION, GAP, TITLE_HEIGHT = 16, 6, 26
"""Pixels of a caption, between tiles, and of the title."""
WHITE, BLACK = (255, 255, 255), (30, 30, 30)
DARK, BRIGHT, EITHER = (86, 180, 233), (230, 120, 0), (0, 200, 120)
"""Outlines of what counts as dark, as bright, and as both: distinct for people with colour blindness."""
ENLARGED = 2
"""Pixels of the picture along a voxel."""


@dataclass(frozen=True)
class Tile:
    """One axial slice of a sample, (x, y) arrays. `caption`: what was drawn."""

    caption: str
    before: Float[np.ndarray, "x y"]
    after: Float[np.ndarray, "x y"]
    dark: Bool[np.ndarray, "x y"]
    bright: Bool[np.ndarray, "x y"]


def lesion_sheet(title: str, tiles: Sequence[Tile], white: float) -> Image.Image:
    """Four columns of tiles: the healthy slice, then the changed one, then that with outlines.

    `white`: intensity that is drawn white; 0 is black. All tiles have slices of one size.
    """
    if not tiles:
        raise ValueError("a sheet needs tiles")
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
