"""What is known of the people of a data set: age, sex, site and group, from `participants.tsv` and `sessions.tsv`."""

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
class Person:
    """What a table says of one person, or of one session; empty where it says nothing."""

    age: str = ""
    sex: str = ""
    site: str = ""
    group: str = ""
    note: str = ""


class Persons:
    """The people of a data set by label; raises InputError if there are groups and no table of them."""

    def __init__(self, label: str, settings: Bids, folder: Path):
        self.label, self.columns, self.groups = label, settings.columns, settings.groups
        self.path, prefix = _table(settings, folder)
        self.found: dict[str, Person] = {}
        self.there: set[str] = set()
        if self.path is None:
            if self.groups:
                do = f"add it, or remove datasets.{label}.groups"
                raise InputError(f"{label} has no participants.tsv to tell groups by", file=folder, do=do)
            return
        for row in self._rows(self.path):
            name = row.get("participant_id") or row.get("participant") or ""
            if prefix and not name.startswith(prefix):
                continue
            name = "sub-" + name.removeprefix(prefix).removeprefix("sub-")
            before = self.found.get(name)
            twice = f"{self.path.name} lists {name} more than once, the first line counts"
            self.found[name] = replace(before, note=twice) if before else self._person(row)

    def of(self, subject: str, folder: Path) -> dict[str, Person]:
        """The person under "", and each session that `sub-*_sessions.tsv` in the subject's folder knows more of."""
        person = self.found.get(subject, Person())
        path = folder / f"{subject}_sessions.tsv"
        known = {"": person}
        for row in self._rows(path) if path.is_file() else []:
            more = self._person(row)
            name = "ses-" + row.get("session_id", "").removeprefix("ses-")
            told = {key: value for key in ("age", "sex", "site", "group") if (value := getattr(more, key))}
            known[name] = replace(person, **told)
        return known

    def check(self, seen: Iterable[Person], healthy: bool) -> None:
        """Raise InputError where a column that settings name is in no table, or a value that they list is nobody's."""
        named = self.columns.model_dump(exclude_defaults=True)
        if missing := [key for key, name in named.items() if name.lower() not in self.there]:
            why, do = (
                "there are " + ", ".join(sorted(self.there)),
                f"correct datasets.{self.label}.columns.{missing[0]}",
            )
            raise InputError(f"{self.label} has no column {named[missing[0]]}", file=self.path, why=why, do=do)
        if self.groups is None:
            return
        counts = Counter(person.group for person in seen)
        listed = self.groups.healthy if healthy else self.groups.patients
        if missing := [value for value in listed if value not in counts]:
            there = ", ".join(f"{value or 'n/a'} ({n})" for value, n in sorted(counts.items()))
            column = self.groups.column
            why = f"column {column} has {there}" if any(counts) else f"no column {column} says anything of them"
            kind = "healthy" if healthy else "patients"
            do = f"correct datasets.{self.label}.groups.{kind}"
            raise InputError(f"nobody of {self.label} is in the group {missing[0]}", file=self.path, why=why, do=do)

    def _rows(self, path: Path) -> list[Row]:
        rows = read_rows(path)
        self.there.update(*rows[:1])
        return rows

    def _person(self, row: Row) -> Person:
        columns = self.columns
        group = cell(row, self.groups.column) if self.groups else ""
        return Person(cell(row, columns.age), cell(row, columns.sex), cell(row, columns.site), group)


def cell(row: Row, column: str) -> str:
    """A cell, empty where it says that nothing is known."""
    value = row.get(column.lower(), "")
    return "" if value.lower() in UNKNOWN else value


def read_rows(path: Path) -> list[Row]:
    """The lines of a tab-separated table, by column in small letters; raises InputError if it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = csv.DictReader(file, delimiter="\t")
            return [
                {(key or "").strip().lower(): (row[key] or "").strip() for key in lines.fieldnames or []}
                for row in lines
            ]
    except OSError as error:
        raise InputError(f"cannot read {path.name}", file=path, why=error.strerror, do="mend its rights") from None


def _table(settings: Bids, folder: Path) -> tuple[Path | None, str]:
    """`participants.tsv` of the folder, of the raw data set, or one above that names each set; and the prefix then."""
    root = Path(settings.root)
    places = [(folder, ""), (root, "")]
    if root.parent.name == "derivatives":
        places.append((root.parent.parent, ""))
    places.append((root.parent, f"{root.name}/"))
    found = ((place / "participants.tsv", prefix) for place, prefix in places)
    return next(((path, prefix) for path, prefix in found if path.is_file()), (None, ""))
