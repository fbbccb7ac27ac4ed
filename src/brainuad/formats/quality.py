"""`quality.tsv`: what preprocess found of every scan of a data set, a row each, worst first."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats.files import atomic, read_tsv
from brainuad.formats.scans import Scan
from brainuad.formats.status import Status

NAME = "quality.tsv"
ABOUT = {
    "dataset": "label of the data set",
    "scan": "label of the scan",
    "subject": "label of the person",
    "state": "ok, warned (doubtful: look at it) or failed (left out, unless you decide otherwise)",
    "reasons": "why it is not ok",
    "remedy": "what you may do",
}
NUMBERS = {
    "similarity": "normalised mutual information with the template, 1 (none) to 2",
    "turned": "share of its excess over 1 that the best half-turn of the head keeps: much where it lies back to front "
    "or upside down; left and right are told by the header alone",
    "overlap": "Dice of the brain mask with the template's",
    "coverage": "share of the template's brain in the field of view",
    "volume_ml": "volume of the brain in the scan's own space",
    "scale_min": "least stretch of the template",
    "scale_max": "largest stretch of the template",
    "turn_degrees": "angle by which the head is turned to the template before registration",
    "lean_degrees": "angle between its plane of symmetry and the template's after registration",
    "offset_mm": "distance between these planes",
    "white_grey": "white less grey matter, in units of the brain's range: above 0 in T1w",
    "fluid": "fluid less grey matter, in the same units: above 0 in T2w",
    "level": "median of the brain, in the scan's units",
    "lowest": "lowest value of the scan",
    "clipped": "share of the brain at the scan's highest value",
    "noise": "standard deviation of the noise, as a share of the range of the brain's tissues",
    "missing_slices": "share of the brain's slices that are empty or dark",
    "ghosts": "structure in the air around the head, as a share of the brain's median, as motion leaves it; empty for "
    "CT and where there is no air to look at",
}
COLUMNS = ABOUT | NUMBERS
ORDER = ("failed", "warned", "ok")


@dataclass(frozen=True)
class Row:
    """One scan and its verdict."""

    scan: Scan
    status: Status


def sorted_rows(rows: Sequence[Row]) -> list[Row]:
    """Failed scans first, then doubtful ones, each by name."""
    return sorted(rows, key=lambda row: (ORDER.index(row.status.state), row.scan.scan))


def write(path: str | Path, rows: Sequence[Row]) -> None:
    """Write the table; a number that was not measured is empty."""
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in sorted_rows(rows):
            status = row.status
            about = [row.scan.dataset, row.scan.scan, row.scan.subject, status.state]
            numbers = [f"{status.quality[name]:.6g}" if name in status.quality else "" for name in NUMBERS]
            writer.writerow([*about, "; ".join(status.reasons), status.remedy or "", *numbers])


def read(path: str | Path) -> list[dict[str, str]]:
    """Read the table as text, a mapping per row; raises InputError if it is missing or has other columns."""
    columns, rows = read_tsv(path, "the table of quality")
    if columns != list(COLUMNS):
        raise InputError(f"{Path(path).name} has other columns", file=path, do="delete its folder and run again")
    return rows
