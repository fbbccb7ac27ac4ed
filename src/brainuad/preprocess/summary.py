"""The quality of a data set's scans: a table with the verdict on each, and contact sheets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brainuad.config.recipe import Quality
from brainuad.formats import files, quality, scans, status, verdict
from brainuad.formats.quality import Row
from brainuad.formats.scans import Scan
from brainuad.formats.status import Status
from brainuad.preprocess.review.contact_sheet import Tile, pages


def summarise_quality(table: Path, folders: Mapping[str, Path], limits: Quality, out: Path) -> None:
    """Write the folder `out`: `quality.tsv`, and `contact.png`, followed by `contact-2.png` and so on.

    `table`: the scans of the data set; `folders`: of the preprocessed scans, by scan; `limits`: of the recipe.
    Subjects without a scan to preprocess have a row as well.
    """
    listed = [row for row in scans.read(table) if row.scan in folders or row.state == "failed"]
    rows = quality.sorted_rows([Row(row, _judged(row, folders, limits)) for row in listed])
    tiles = [
        Tile(
            row.scan.scan,
            row.status.state,
            "; ".join(row.status.reasons),
            folders.get(row.scan.scan, Path("none")) / status.OVERLAY,
        )
        for row in rows
    ]
    with files.atomic_folder(out) as part:
        quality.write(part / quality.NAME, rows)
        for number, page in enumerate(pages(out.name, tiles), 1):
            page.save(part / ("contact.png" if number == 1 else f"contact-{number}.png"))


def _judged(row: Scan, folders: Mapping[str, Path], limits: Quality) -> Status:
    if row.scan in folders:
        return verdict.read(folders[row.scan] / status.NAME, limits)
    return Status(scan=row.scan, state="failed", reasons=[row.note], remedy="add the scan")
