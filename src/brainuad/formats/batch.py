"""Batches: the scans that one preprocess job takes, the files that it reads, and the mark that it leaves.

A mark vouches for its scans' folders, once these are there: Snakemake sees the mark alone. Whoever makes one of them
anew therefore takes away every mark that names it. The mark of a scan with a job of its own lies in the scan's folder,
and goes with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats import scans as table
from brainuad.formats.files import read_json, write_json
from brainuad.formats.scans import Scan

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


def wanted(rows: Iterable[Scan], shared: Mapping[str, str]) -> dict[str, str]:
    """What a job reads, by name: `<scan>/image` and so on, and what its scans share, such as a template's files.

    Where another job makes the scans' files, they share its `table`, which will name them, and `rows` is not looked at.
    """
    if "table" in shared:
        return dict(shared)
    return {f"{row.scan}/{kind}": path for row in rows for kind, path in row.files().items()} | dict(shared)


def given(inputs: Mapping[str, str], scans: Sequence[str]) -> dict[str, tuple[dict[str, str], str]]:
    """By scan the files that `inputs`, which `wanted` made, hold for it, and what an earlier stage found wrong with it.

    Raises InputError if the `table` does not name one of `scans`.
    """
    rows = table.find(inputs["table"], scans) if "table" in inputs else {}
    shared = {name: path for name, path in inputs.items() if "/" not in name and name != "table"}
    found: dict[str, tuple[dict[str, str], str]] = {}
    for scan in scans:
        row, start = rows.get(scan), f"{scan}/"
        own = {name.removeprefix(start): path for name, path in inputs.items() if name.startswith(start)}
        found[scan] = {**shared, **(row.files() if row else own)}, row.note if row and row.state == "failed" else ""
    return found


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
