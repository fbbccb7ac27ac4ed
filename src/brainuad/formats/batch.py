"""Batches: which scans one preprocess job takes, and the mark that it leaves when their folders are there.

A mark vouches for its scans' folders: Snakemake sees the mark alone. Whoever makes one of them anew therefore takes
away every mark that names it. The mark of a scan with a job of its own lies in the scan's folder, and goes with
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats.files import read_json, write_json

FOLDER = "batches"
"""Where the marks of batches lie, beside the scans' folders."""
DONE = "done.json"
"""The mark of a scan with a job of its own, in the scan's folder."""


def batches(scans: Iterable[str], size: int) -> dict[str, list[str]]:
    """Consecutive scans in order of their names, by the batch's name, which says who is in it.

    So studies with other scans of one data set share the marks of equal batches, and write over no other.
    """
    ordered = sorted(scans)
    parts = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    return {f"{part[0]}_{len(part)}_{_digest(part)}": part for part in parts}


def write(path: str | Path, scans: Mapping[str, str]) -> None:
    """Write a mark: by scan a digest of what its folder was made from."""
    write_json(path, {"scans": scans})


def read(paths: Iterable[str | Path]) -> list[str]:
    """The scans that these marks name."""
    return [scan for path in paths for scan in read_json(path)["scans"]]


def withdraw(folder: Path, scans: Sequence[str]) -> None:
    """Take away the marks below `folder`, which holds the scans' folders, that name one of `scans` or are broken."""
    for scan in scans:
        (folder / scan / DONE).unlink(missing_ok=True)
    for path in (folder / FOLDER).glob("*.json") if scans else ():
        try:
            named = read([path])
        except InputError:  # who it names cannot be told, so it may speak for one of them; or another job took it away
            named = list(scans)
        if not set(scans).isdisjoint(named):
            path.unlink(missing_ok=True)


def _digest(scans: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(scans).encode()).hexdigest()[:8]
