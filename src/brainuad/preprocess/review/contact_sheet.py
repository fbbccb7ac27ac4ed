"""Contact sheets: the overlays of a data set on a few pages, so that a person sees at once what went wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from brainuad.figures.unrecognisable import unrecognisable
from brainuad.formats import quality, status
from brainuad.formats.files import atomic_folder

COLUMNS, ROWS = 5, 12
"""Pictures on a page."""
WIDTH, HEIGHT, CAPTION, GAP = 360, 136, 48, 8
"""Pixels of a picture, of the caption under it, and between pictures."""
TITLE_HEIGHT = 30
BLACK, GREY, WHITE = (30, 30, 30), (110, 110, 110), (255, 255, 255)
COLOURS = {"failed": (200, 30, 30), "warned": (215, 130, 0), "ok": (0, 130, 90)}
LINE_LENGTH = 62
"""Characters of a reason that fit under a picture."""
CAPTION_LINES, EMPTY_LINES = 2, 7
"""Lines of a reason under a picture, and in its place where there is none."""


def write_contact_sheets(title: str, table: Path, preprocessed: Path, out: Path) -> None:
    """Write the folder `out`: `page-1.png` and so on, worst scans first.

    `table`: the data set's `quality.tsv`; `preprocessed`: the folder of its preprocessed scans.
    """
    rows = quality.sorted_rows(quality.read(table))
    tiles = [Tile(row.scan, row.state, row.reasons, preprocessed / row.scan / status.OVERLAY) for row in rows]
    with atomic_folder(out) as part:
        for number, page in enumerate(pages(title, tiles), 1):
            page.save(part / f"page-{number}.png")


@dataclass(frozen=True)
class Tile:
    """One scan. `overlay`: its picture, which may not exist."""

    name: str
    state: str
    reason: str
    overlay: Path


def pages(title: str, tiles: Sequence[Tile]) -> Iterator[Image.Image]:
    """Pages of up to 60 scans, in the order given; one page without pictures if there are none."""
    per_page = COLUMNS * ROWS
    groups = [tiles[i : i + per_page] for i in range(0, len(tiles), per_page)] or [tiles]
    counts = ", ".join(f"{sum(tile.state == state for tile in tiles)} {state}" for state in COLOURS)
    for number, group in enumerate(groups, 1):
        page = f", page {number} of {len(groups)}" if len(groups) > 1 else ""
        yield _page(f"{title}: {len(tiles)} scans ({counts}){page}", group)


def _page(title: str, tiles: Sequence[Tile]) -> Image.Image:
    columns, rows = max(1, min(COLUMNS, len(tiles))), -(-len(tiles) // COLUMNS)
    column, row = WIDTH + GAP, HEIGHT + CAPTION + GAP
    width = max(columns * column + GAP, 2 * column)
    page = Image.new("RGB", (width, TITLE_HEIGHT + rows * row + GAP), WHITE)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), title, BLACK, _font(16))
    for i, tile in enumerate(tiles):
        _draw_tile(page, tile, GAP + i % COLUMNS * column, TITLE_HEIGHT + GAP + i // COLUMNS * row)
    return page


def _draw_tile(page: Image.Image, tile: Tile, x: int, y: int) -> None:
    draw, colour = ImageDraw.Draw(page), COLOURS[tile.state]
    if has_picture := tile.overlay.is_file():
        with Image.open(tile.overlay) as picture:
            small = unrecognisable(picture) if tile.state == "failed" else picture.convert("RGB")
        small.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        page.paste((0, 0, 0), (x, y, x + WIDTH, y + HEIGHT))
        page.paste(small, (x + (WIDTH - small.width) // 2, y + (HEIGHT - small.height) // 2))
    else:
        draw.multiline_text((x + 6, y + 6), _wrapped(tile.reason, EMPTY_LINES), GREY, _font(11))
    draw.rectangle((x, y, x + WIDTH - 1, y + HEIGHT - 1), outline=colour, width=1 if tile.state == "ok" else 4)
    draw.text((x, y + HEIGHT + 3), f"{tile.name}  {tile.state}", colour, _font(13))
    if has_picture:
        draw.multiline_text((x, y + HEIGHT + 20), _wrapped(tile.reason, CAPTION_LINES), BLACK, _font(11), spacing=1)


def _wrapped(text: str, lines: int) -> str:
    """Text in lines that fit; the rest is replaced by an ellipsis."""
    return textwrap.fill(text, LINE_LENGTH, max_lines=lines, placeholder="…")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
