"""Which scans one preprocess job takes, and the names of its input files. The plan uses it too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from brainuad.formats import scans as table
from brainuad.formats.scans import Scan

TABLE = "table"
"""Input: the table that will name the scans' files, where another job makes them."""


@dataclass(frozen=True)
class ScanInputs:
    """Input files of one scan. `files`: by name; `problem`: what an earlier stage found wrong with the scan, if so."""

    files: dict[str, str]
    problem: str = ""


def batches(scans: Iterable[str], size: int) -> dict[str, list[str]]:
    """Batches of consecutive scans in the order of their names, by the name of the batch, which identifies its scans.

    Studies with other scans of a data set thus share the done files of equal batches, and overwrite no other.
    """
    ordered = sorted(scans)
    parts = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    return {f"{part[0]}_{len(part)}_{_digest(part)}": part for part in parts}


def job_inputs(rows: Iterable[Scan], shared: Mapping[str, str]) -> dict[str, str]:
    """Input files of a job by name: `<scan>/image` and so on, and those that its scans share, such as a template's.

    Where `shared` has the `table` of a job that makes the scans' files, `rows` are not used.
    """
    if TABLE in shared:
        return dict(shared)
    return {f"{row.scan}/{name}": path for row in rows for name, path in row.files().items()} | dict(shared)


def inputs_by_scan(inputs: Mapping[str, str], scans: Sequence[str]) -> dict[str, ScanInputs]:
    """The inputs that `job_inputs` made, by scan.

    Raises InputError if the table does not name one of `scans`.
    """
    rows = table.find(inputs[TABLE], scans) if TABLE in inputs else {}
    shared = {name: path for name, path in inputs.items() if "/" not in name and name != TABLE}
    by_scan: dict[str, ScanInputs] = {}
    for scan in scans:
        row, prefix = rows.get(scan), f"{scan}/"
        own = {name.removeprefix(prefix): path for name, path in inputs.items() if name.startswith(prefix)}
        problem = row.note if row and row.state == "failed" else ""
        by_scan[scan] = ScanInputs({**shared, **(row.files() if row else own)}, problem)
    return by_scan


def _digest(scans: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(scans).encode()).hexdigest()[:8]
