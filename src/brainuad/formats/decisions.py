"""A person's decisions on scans, which win over quality control: a table that a study names under `decisions`.

Tab-separated, one decision a row: `dataset`, `scan` (or the label of a subject, for all of their scans), `decision`
(`exclude` or `include`), and optionally `reason` and `by`. Empty lines and those that start with # are ignored.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad.errors import InputError
from brainuad.formats.scans import Scan

COLUMNS = ("dataset", "scan", "decision", "reason", "by")
DECISIONS = ("exclude", "include")


@dataclass(frozen=True)
class Decision:
    """A person's decision on a scan: `exclude` removes one that passed, `include` keeps one that failed."""

    word: str
    reason: str = ""
    by: str = ""

    @property
    def text(self) -> str:
        """`excluded by AB: moved`."""
        by, reason = f" by {self.by}" if self.by else "", f": {self.reason}" if self.reason else ""
        return f"{self.word}d{by}{reason}"


def read(path: str | Path, scans: Mapping[str, Sequence[Scan]], not_downloaded: Sequence[str] = ()) -> ByScan:
    """The decisions by data set and scan.

    `scans`: by data set; `not_downloaded`: data sets whose scans are not known yet, whose rows are ignored. Raises
    InputError, with the line, for a missing column, another decision, an unknown data set or scan, and a second
    decision on a scan.
    """
    found: ByScan = {}
    lines: dict[tuple[str, str], int] = {}
    for number, row in _rows(Path(path)):
        where = f"{Path(path).name}, line {number}"
        dataset, name, word = row["dataset"], row["scan"], row["decision"]
        if word not in DECISIONS:
            do = "write exclude or include"
            raise InputError(f"{where}: there is no decision {word or 'in this row'}", file=path, do=do)
        if dataset in not_downloaded:
            continue
        if dataset not in scans:
            raise InputError(
                f"{where}: the study has no scans in {dataset!r}", file=path, do=_near(dataset, list(scans))
            )
        for scan in _named_scans(name, scans[dataset], where, path):
            if (first := lines.setdefault((dataset, scan), number)) != number:
                do = "keep one of the two"
                raise InputError(f"{where}: {scan} is decided in line {first} already", file=path, do=do)
            found.setdefault(dataset, {})[scan] = Decision(word, row.get("reason", ""), row.get("by", ""))
    return found


ByScan = dict[str, dict[str, Decision]]


def _named_scans(name: str, scans: Sequence[Scan], where: str, path: str | Path) -> list[str]:
    """The scan of this label or, if there is none, all scans of the subject of this label."""
    named = [scan.scan for scan in scans if scan.scan == name] or [scan.scan for scan in scans if scan.subject == name]
    if not named:
        do = _near(name, [scan.scan for scan in scans])
        raise InputError(f"{where}: there is no scan {name or 'in this row'}", file=path, do=do)
    return named


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and cells by column, stripped."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte-order mark
    except UnicodeDecodeError:
        do = "save it as UTF-8 text, tab-separated"
        raise InputError("cannot read the decisions", file=path, why="it is not UTF-8 text", do=do) from None
    except OSError as error:
        do = f"write it, tab-separated, with the columns {', '.join(COLUMNS)}, or remove `decisions` from the study"
        raise InputError("cannot read the decisions", file=path, why=error.strerror, do=do) from None
    numbered = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    rows = [next(csv.reader([line], delimiter="\t")) for _, line in numbered]
    columns = ["scan" if name.strip() == "subject" else name.strip() for name in rows[0]] if rows else []
    if missing := [name for name in COLUMNS[:3] if name not in columns]:
        why = "the first line has " + (", ".join(columns) or "nothing") + "; columns are separated by tabs"
        raise InputError(f"{path.name} has no column {missing[0]}", file=path, why=why, do="add it")
    for (number, _), cells in zip(numbered[1:], rows[1:], strict=True):
        yield number, {name: cell.strip() for name, cell in zip(columns, [*cells, *[""] * len(columns)], strict=False)}


def _near(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else "remove the line or correct it"
