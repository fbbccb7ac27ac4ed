"""The pictures of docs/preprocessing.md: `BRAINUAD_REAL_DATA=... python benchmarks/pictures.py`.

One contact sheet of difficult and corrupted phantoms (benchmarks/hard.py), one of scans of OpenNeuro's ds002748 (CC0).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hard
import placement
from brainuad.preprocess.review.contact_sheet import Tile, pages

OUT = Path("docs/pictures")
STREAM = "pictures"


def tile(name: str, label: str, row: placement.Row, folder: Path) -> Tile:
    """One place on a sheet."""
    return Tile(label, row["state"], row["reasons"], folder / f"{name.replace('/', '_')}.png")


def phantoms(folder: Path) -> list[Tile]:
    """Each difficult condition once, in turn through the contrasts, then each type of corruption."""
    tiles = []
    for name, condition, kind in hard.plan(STREAM, len(hard.CONDITIONS)):
        case = hard.make(name, condition, kind)
        row = placement.preprocess_case(case, placement.Subject(name, condition, kind), folder, every=True)
        tiles.append(tile(name, f"{condition}, {kind}", row, folder))
    for number, what in enumerate(hard.CORRUPTIONS):
        name, kind = f"{STREAM}-{number}", hard.KINDS[number % len(hard.KINDS)]
        case, declared, forced = hard.corrupt_scan(name, what, kind)
        row = placement.preprocess_case(case, placement.Subject(name, what, kind), folder, declared, forced, every=True)
        tiles.append(tile(name, f"{what}, {kind}" + f" as {declared}" * bool(declared), row, folder))
    return tiles


def stripped(root: Path, folder: Path) -> list[Tile]:
    """The first five scans of ds002748."""
    files = placement.scans(root / "ds002748")[:5]
    rows = [placement.real(path.stem, path, folder) for path in files]
    return [tile(path.stem, path.name.split("_")[0], row, folder) for path, row in zip(files, rows, strict=True)]


def main() -> None:
    """Write both sheets."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sheets = {
            "phantoms": ("difficult phantoms, then corrupted ones", phantoms(folder)),
            "ds002748": ("ds002748", stripped(Path(os.environ["BRAINUAD_REAL_DATA"]), folder)),
        }
        for name, (title, tiles) in sheets.items():
            page = next(pages(title, tiles))
            page.quantize(128).save(OUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
