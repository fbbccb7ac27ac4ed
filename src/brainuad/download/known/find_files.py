"""Finding files and reading tables of known data sets. Imported while the Snakefile is parsed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from brainuad.config.datasets import Known


def find_nifti(folder: Path, stem: str) -> Path | None:
    """`<stem>.nii.gz` or `<stem>.nii` in a folder."""
    return next((path for end in (".nii.gz", ".nii") if (path := folder / f"{stem}{end}").is_file()), None)


def find_folders(root: Path, name: re.Pattern[str], depth: int) -> Iterator[Path]:
    """Folders with this name down to `depth` levels below the root, sorted by level; none inside another match."""
    inside = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    yield from (entry for entry in inside if name.fullmatch(entry.name))
    if depth > 1:
        for entry in inside:
            if not name.fullmatch(entry.name):
                yield from find_folders(entry, name, depth - 1)


def is_unlabelled(folder: Path, root: Path) -> bool:
    """Whether a folder belongs to the part of a challenge that is released without masks."""
    return any(re.search("validation|test", part, re.IGNORECASE) for part in folder.relative_to(root).parts[:-1])


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a comma-separated table; column names in lower case, with `_` for spaces and line breaks."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = list(csv.reader(file))
    columns = [re.sub(r"\s+", "_", name.strip().lower()) for name in rows[0]] if rows else []
    return [dict(zip(columns, (cell.strip() for cell in row), strict=False)) for row in rows[1:] if any(row)]


def find_table(root: Path, name: str) -> Path | None:
    """The file with this name in the folder, in upper or lower case."""
    return next((path for path in sorted(root.iterdir()) if path.name.lower() == name.lower()), None)


def patients_only_problem(settings: Known) -> list[str]:
    """The problem, if there is one, that a study asks a data set of patients for healthy subjects."""
    return [f"{settings.source} holds patients only: set healthy: false"] if settings.healthy else []


def count_note(count: int, released: int, what: str) -> list[str]:
    """A note if a count differs from that of the release."""
    return [] if count == released else [f"{what}: {count}, the release has {released}"]
