"""What the data sets share that a user brings: finding their files, reading their tables, saying what is unusual.

Light enough to run while the Snakefile is parsed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from brainuad.config.datasets import Known


def nifti(folder: Path, stem: str) -> Path | None:
    """`<stem>.nii.gz` or `<stem>.nii` in a folder."""
    return next((path for end in (".nii.gz", ".nii") if (path := folder / f"{stem}{end}").is_file()), None)


def folders(root: Path, name: re.Pattern[str], depth: int) -> Iterator[Path]:
    """The folders of this name down to `depth` levels below the root, sorted level by level; none within another."""
    inside = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    yield from (entry for entry in inside if name.fullmatch(entry.name))
    if depth > 1:
        for entry in inside:
            if not name.fullmatch(entry.name):
                yield from folders(entry, name, depth - 1)


def unlabelled(folder: Path, root: Path) -> bool:
    """Whether a folder lies in the part of a challenge that is released without masks."""
    return any(re.search("validation|test", part, re.IGNORECASE) for part in folder.relative_to(root).parts[:-1])


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a comma-separated table; names of columns in lower case, line breaks and spaces in them as `_`."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = list(csv.reader(file))
    columns = [re.sub(r"\s+", "_", name.strip().lower()) for name in rows[0]] if rows else []
    return [dict(zip(columns, (cell.strip() for cell in row), strict=False)) for row in rows[1:] if any(row)]


def find_table(root: Path, name: str) -> Path | None:
    """A file of this name in the folder, whatever its case."""
    return next((path for path in sorted(root.iterdir()) if path.name.lower() == name.lower()), None)


def only_patients(settings: Known) -> list[str]:
    """The problem that a study asks a set of patients for healthy people, if it does."""
    return [f"{settings.source} holds patients only: set healthy: false"] if settings.healthy else []


def unusual(count: int, usual: int, what: str) -> list[str]:
    """A note where a count is not that of the release."""
    return [] if count == usual else [f"{what}: {count}, the release has {usual}"]
