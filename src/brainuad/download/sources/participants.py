"""Age, sex, site and group of subjects, from `participants.tsv` and `sub-*_sessions.tsv`."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from brainuad.config.datasets import Bids
from brainuad.errors import InputError

Row = dict[str, str]
UNKNOWN = ("", "n/a", "na", "nan")


@dataclass(frozen=True)
class Participant:
    """The values of one participant, or of one session; empty where unknown."""

    age: str = ""
    sex: str = ""
    site: str = ""
    group: str = ""
    note: str = ""


class Participants:
    """The participants of a data set by subject label; raises InputError if groups are set and there is no table."""

    def __init__(self, label: str, settings: Bids, folder: Path):
        self.label, self.columns, self.groups = label, settings.columns, settings.groups
        self.path, prefix = _table(settings, folder)
        self.by_subject: dict[str, Participant] = {}
        self.columns_present: set[str] = set()
        if self.path is None:
            if self.groups:
                do = f"add it, or remove datasets.{label}.groups"
                raise InputError(f"{label} has no participants.tsv with groups", file=folder, do=do)
            return
        for row in self._rows(self.path):
            name = row.get("participant_id") or row.get("participant") or ""
            if prefix and not name.startswith(prefix):
                continue
            name = "sub-" + name.removeprefix(prefix).removeprefix("sub-")
            before = self.by_subject.get(name)
            twice = f"{self.path.name} lists {name} more than once, the first line counts"
            self.by_subject[name] = replace(before, note=twice) if before else self._person(row)

    def sessions_of(self, subject: str, folder: Path) -> dict[str, Participant]:
        """The participant under "", and each session that the subject's `sub-*_sessions.tsv` lists."""
        participant = self.by_subject.get(subject, Participant())
        path = folder / f"{subject}_sessions.tsv"
        known = {"": participant}
        for row in self._rows(path) if path.is_file() else []:
            more = self._person(row)
            name = "ses-" + row.get("session_id", "").removeprefix("ses-")
            given = {key: value for key in ("age", "sex", "site", "group") if (value := getattr(more, key))}
            known[name] = replace(participant, **given)
        return known

    def check(self, seen: Iterable[Participant], healthy: bool) -> None:
        """Raise InputError if a column named in the settings is missing, or nobody has a group that they list."""
        named = self.columns.model_dump(exclude_defaults=True)
        if missing := [key for key, name in named.items() if name.lower() not in self.columns_present]:
            why, do = (
                "there are " + ", ".join(sorted(self.columns_present)),
                f"correct datasets.{self.label}.columns.{missing[0]}",
            )
            raise InputError(f"{self.label} has no column {named[missing[0]]}", file=self.path, why=why, do=do)
        if self.groups is None:
            return
        counts = Counter(participant.group for participant in seen)
        wanted = self.groups.healthy if healthy else self.groups.patients
        if missing := [value for value in wanted if value not in counts]:
            present = ", ".join(f"{value or 'n/a'} ({n})" for value, n in sorted(counts.items()))
            column = self.groups.column
            why = f"column {column} has {present}" if any(counts) else f"no column {column} has a value"
            key = "healthy" if healthy else "patients"
            do = f"correct datasets.{self.label}.groups.{key}"
            raise InputError(f"nobody of {self.label} is in the group {missing[0]}", file=self.path, why=why, do=do)

    def _rows(self, path: Path) -> list[Row]:
        rows = read_rows(path)
        self.columns_present.update(*rows[:1])
        return rows

    def _person(self, row: Row) -> Participant:
        columns = self.columns
        group = cell(row, self.groups.column) if self.groups else ""
        return Participant(cell(row, columns.age), cell(row, columns.sex), cell(row, columns.site), group)


def cell(row: Row, column: str) -> str:
    """A cell; empty if it says that the value is unknown."""
    value = row.get(column.lower(), "")
    return "" if value.lower() in UNKNOWN else value


def read_rows(path: Path) -> list[Row]:
    """The lines of a tab-separated table, by column name in lower case; raises InputError if it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = csv.DictReader(file, delimiter="\t")
            return [
                {(key or "").strip().lower(): (row[key] or "").strip() for key in lines.fieldnames or []}
                for row in lines
            ]
    except OSError as error:
        do = "correct its permissions"
        raise InputError(f"cannot read {path.name}", file=path, why=error.strerror, do=do) from None


def _table(settings: Bids, folder: Path) -> tuple[Path | None, str]:
    """`participants.tsv` of the folder, of the raw data set, or of the folder above, where labels have a prefix."""
    root = Path(settings.root)
    places = [(folder, ""), (root, "")]
    if root.parent.name == "derivatives":
        places.append((root.parent.parent, ""))
    places.append((root.parent, f"{root.name}/"))
    candidates = ((place / "participants.tsv", prefix) for place, prefix in places)
    return next(((path, prefix) for path, prefix in candidates if path.is_file()), (None, ""))
