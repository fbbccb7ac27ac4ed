"""Contact sheets: the overlays of a whole data set on a few pages, so that a person sees at once what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLUMNS, ROWS = 5, 12
"""Pictures on a page."""
WIDTH, HEIGHT, TEXT, GAP = 360, 136, 48, 8
"""Pixels of a picture, of the text under it, and between pictures."""
HEAD = 30
INK, GREY, PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)
COLOURS = {"failed": (200, 30, 30), "warned": (215, 130, 0), "ok": (0, 130, 90)}
LINE = 62
"""Letters of a reason that fit under a picture, and 7 lines of it into its place where there is none."""


@dataclass(frozen=True)
class Tile:
    """One scan. `overlay`: its picture, which may be missing."""

    name: str
    state: str
    reason: str
    overlay: Path


def pages(title: str, tiles: Sequence[Tile]) -> Iterator[Image.Image]:
    """Pages of up to 60 scans, in the order given; one, which says so, if there are none."""
    per_page = COLUMNS * ROWS
    groups = [tiles[i : i + per_page] for i in range(0, len(tiles), per_page)] or [tiles]
    counts = ", ".join(f"{sum(tile.state == state for tile in tiles)} {state}" for state in COLOURS)
    for number, group in enumerate(groups, 1):
        page = f", page {number} of {len(groups)}" if len(groups) > 1 else ""
        yield _page(f"{title}: {len(tiles)} scans ({counts}){page}", group)


def _page(title: str, tiles: Sequence[Tile]) -> Image.Image:
    columns, rows = max(1, min(COLUMNS, len(tiles))), -(-len(tiles) // COLUMNS)
    across, down = WIDTH + GAP, HEIGHT + TEXT + GAP
    width = max(columns * across + GAP, 2 * across)
    page = Image.new("RGB", (width, HEAD + rows * down + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), title, INK, _font(16))
    for i, tile in enumerate(tiles):
        _tile(page, draw, tile, GAP + i % COLUMNS * across, HEAD + GAP + i // COLUMNS * down)
    return page


def _tile(page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int) -> None:
    colour = COLOURS[tile.state]
    there = tile.overlay.is_file()
    if there:
        with Image.open(tile.overlay) as picture:
            small = picture.convert("RGB")
        small.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        page.paste((0, 0, 0), (x, y, x + WIDTH, y + HEIGHT))
        page.paste(small, (x + (WIDTH - small.width) // 2, y + (HEIGHT - small.height) // 2))
    else:
        draw.multiline_text((x + 6, y + 6), "\n".join(_lines(tile.reason, 7)), GREY, _font(11))
    draw.rectangle((x, y, x + WIDTH - 1, y + HEIGHT - 1), outline=colour, width=1 if tile.state == "ok" else 4)
    draw.text((x, y + HEIGHT + 3), f"{tile.name}  {tile.state}", colour, _font(13))
    if there:
        draw.multiline_text((x, y + HEIGHT + 20), "\n".join(_lines(tile.reason, 2)), INK, _font(11), spacing=1)


def _lines(text: str, most: int) -> list[str]:
    """Words in lines that fit; what is left over is cut off with an ellipsis."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > LINE:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()[:LINE]
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][: LINE - 1] + "…"]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
