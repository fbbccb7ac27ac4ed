"""Age, sex, site and group of subjects, from `participants.tsv` and `sub-*_sessions.tsv`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from brainuad.config.datasets import Bids, Groups
from brainuad.download.sources.bids_names import same_label
from brainuad.download.sources.text_table import Row, TextTable, read_text_table
from brainuad.errors import InputError
from brainuad.formats.handling import Handling

UNKNOWN = ("", "n/a", "na", "nan")
NO_GROUP = ("n.a.", "#n/a", "<na>", "null", "unknown", "missing", "?", "-", "--", ".")
"""What tables write for a group that is not known, unless it is listed as a group."""
SUBJECT_COLUMNS = (
    "participant_id",
    "participant",
    "subject_id",
    "subject",
    "sub",
    "subj",
    "patient_id",
    "patient",
    "id",
)
"""Names of the column of subjects; BIDS knows the first alone. Compared without case, blanks and `_`."""
SESSION_COLUMNS = ("session_id", "session", "ses", "visit")
SHOWN = 3
"""Names in a message."""

HANDLED = (
    Handling(
        "tables",
        "`participants.tsv` with other zeros, case or `_` than the folders (`1` for `sub-001`)",
        "converted",
        "matched where only one subject fits, with a note that names both",
    ),
    Handling(
        "tables",
        "`participants.tsv` that lists none of the subjects",
        "refused",
        "the message names ids of the table and of the folders; without the setting `groups` it is a note",
    ),
    Handling(
        "tables",
        "`participants.tsv` whose column of subjects is not `participant_id`",
        "converted",
        f"{', '.join(SUBJECT_COLUMNS[1:])} are read as ids, with a note; other names are refused",
    ),
    Handling(
        "tables",
        "a subject in two lines of `participants.tsv`",
        "warned",
        "the first line counts; where the lines differ in the group, it is not known",
    ),
    Handling(
        "tables",
        "groups that differ from the listed ones in case, blanks or zeros (`Control ` for `control`, `1.0` for `1`)",
        "converted",
        "taken as the listed group, with a note",
    ),
    Handling(
        "tables",
        f"groups such as {', '.join(f'`{word}`' for word in ('n/a', *NO_GROUP[:6]))}, unless they are listed",
        "refused",
        "the group is not known, and the subject is listed as failed",
    ),
    Handling(
        "tables",
        "a column that is read, and whose name stands twice",
        "refused",
        "remedy: rename or remove one of them",
    ),
)


@dataclass(frozen=True)
class Participant:
    """The values of one participant, or of one session; empty where unknown."""

    age: str = ""
    sex: str = ""
    site: str = ""
    group: str = ""
    note: str = ""
    why_no_group: str = ""
    """Why `group` is empty, if groups are asked for."""


class Participants:
    """The participants of a data set by subject label.

    `subjects`: names of the subjects' folders. Raises InputError if groups are set and there is no table, or if the
    table cannot be read.
    """

    def __init__(self, label: str, settings: Bids, folder: Path, subjects: Sequence[str]):
        self.label, self.columns, self.groups = label, settings.columns, settings.groups
        self.path, prefix = _table(settings, folder)
        self.by_subject: dict[str, Participant] = {}
        self.columns_present: set[str] = set()
        self.notes: list[str] = []
        self.others: list[str] = []
        """Whom the table lists, and who has no folder."""
        if self.path is None:
            if self.groups:
                do = f"add it, or remove datasets.{label}.groups"
                similar = [path.name for path in sorted(folder.glob("[Pp]articipants*")) if path.suffix != ".json"]
                why = f"there is {', '.join(similar[:SHOWN])}" if similar else None
                raise InputError(f"{label} has no participants.tsv with groups", file=folder, why=why, do=do)
            return
        listed = self._listed(self.path, prefix)
        if not listed and self.groups:
            do = f"fill it in, or remove datasets.{label}.groups"
            raise InputError(f"{self.path.name} of {label} lists no subject", file=self.path, do=do)
        self.by_subject = _matched(listed, subjects, "sub-", self.path.name)
        self.others = sorted(set(self.by_subject) - set(subjects))
        if listed and subjects and not set(self.by_subject) & set(subjects):
            what = f"{self.path.name} lists none of the subjects of {label}"
            why = f"it has {_some(listed)}, the folders are {_some(subjects)}"
            if self.groups:
                do = "write the names of the folders into its column participant_id"
                raise InputError(what, file=self.path, why=why, do=do)
            self.notes.append(f"{what}: {why}")

    def sessions_of(self, subject: str, folder: Path, sessions: Sequence[str]) -> dict[str, Participant]:
        """The participant under "", and each session that the subject's `sub-*_sessions.tsv` lists.

        `sessions`: names of the session's folders, such as `ses-1`.
        """
        name = self.path.name if self.path else ""
        others = f", but {_some(self.others)} without a folder" if self.others else ""
        absent = Participant(why_no_group=f"{name} does not list it{others}")
        participant = self.by_subject.get(subject, absent)
        path = folder / f"{subject}_sessions.tsv"
        if not (path.is_file() or path.is_symlink()):
            return {"": participant}
        table = self._read(path)
        column = self._column(table, SESSION_COLUMNS, path)
        listed: dict[str, Participant] = {}
        for _, row in table.rows:
            more = self._person(row, path.name)
            given = {key: value for key in ("age", "sex", "site", "group") if (value := getattr(more, key))}
            listed.setdefault(row.get(column, ""), replace(participant, **given))
        return {"": participant, **_matched(listed, sessions, "ses-", path.name)}

    def check(self, seen: Iterable[Participant], healthy: bool) -> None:
        """Raise InputError if a column named in the settings is missing, or no subject has a group that they list."""
        named = self.columns.model_dump(exclude_defaults=True)
        if missing := [key for key, name in named.items() if name.lower() not in self.columns_present]:
            why = "there are " + ", ".join(sorted(self.columns_present))
            do = f"correct datasets.{self.label}.columns.{missing[0]}"
            raise InputError(f"{self.label} has no column {named[missing[0]]}", file=self.path, why=why, do=do)
        if self.groups is None:
            return
        counts = Counter(participant.group for participant in seen)
        wanted, others = self.groups.healthy, self.groups.patients
        if not healthy:
            wanted, others = others, wanted
        rest = [f"{value} ({n})" for value, n in sorted(counts.items()) if value and value not in wanted + others]
        if rest:
            taken = f"taken as {'healthy' if healthy else 'patients'}" if not wanted else "in no group of the settings"
            self.notes.append(f"column {self.groups.column} has {', '.join(rest)}: {taken}")
        if missing := [value for value in wanted if value not in counts]:
            present = ", ".join(f"{value or 'n/a'} ({n})" for value, n in sorted(counts.items()))
            column = self.groups.column
            why = f"column {column} has {present}" if any(counts) else f"no column {column} has a value"
            if column.lower() not in self.columns_present:
                there = ", ".join(sorted(self.columns_present))
                why = f"there is no column {column}, there are {there}"
            key = "healthy" if healthy else "patients"
            do = f"correct datasets.{self.label}.groups.{key}"
            raise InputError(f"no subject of {self.label} is in the group {missing[0]}", file=self.path, why=why, do=do)

    def _listed(self, path: Path, prefix: str) -> dict[str, Participant]:
        """The participants by the name that the table gives them, without `prefix`."""
        table = self._read(path)
        column = self._column(table, SUBJECT_COLUMNS, path)
        unclear = {number: f"line {number} of {path.name} has {problem}" for number, problem in table.problems}
        self.notes += [*table.notes, *unclear.values()]
        listed: dict[str, Participant] = {}
        first: dict[str, str] = {}
        for number, row in table.rows:
            name = row.get(column, "")
            if not name or not name.startswith(prefix):
                continue
            name = name.removeprefix(prefix)
            name = first.setdefault(name.casefold().removeprefix("sub-"), name)
            person = self._person(row, path.name)
            if number in unclear:  # it is not known which cell is one too many
                person = Participant(note=unclear[number], why_no_group=unclear[number])
            if (before := listed.get(name)) is not None:
                person = _first_of_two(before, person, f"{path.name} lists {name}")
            listed[name] = person
        return listed

    def _read(self, path: Path) -> TextTable:
        table = read_text_table(path, (*SUBJECT_COLUMNS, *SESSION_COLUMNS), any_encoding=True)
        self.columns_present.update(table.columns)
        return table

    def _column(self, table: TextTable, names: Sequence[str], path: Path) -> str:
        """The column of subjects or sessions. Raises InputError if none is called so and the table has values."""
        plain = {re.sub(r"[\W_]", "", name): name for name in reversed(table.columns)}
        found = next((plain[key] for name in names if (key := name.replace("_", "")) in plain), None)
        used = {found, *map(str.lower, self.columns.model_dump().values())}
        used |= {self.groups.column.lower()} if self.groups else set()
        if twice := sorted(name for name in used if name and table.columns.count(name) > 1):
            raise InputError(f"{path.name} has two columns {twice[0]}", file=path, do="rename or remove one of them")
        if found is None and table.rows:
            what = f"{path.name} has no column {names[0]}"
            why = "it has " + ", ".join(table.columns)
            if self.groups:
                raise InputError(what, file=path, why=why, do=f"call the column of names {names[0]}")
            self.notes.append(f"{what}, so that nothing is read from it: {why}")
        elif found is not None and found not in names[:2]:
            self.notes.append(f"{path.name} has no column {names[0]}, {found} was read")
        return found or ""

    def _person(self, row: Row, table: str) -> Participant:
        columns = self.columns
        group, note = group_of(row, self.groups) if self.groups else ("", "")
        why = "" if group else f"{table} gives none"
        values = cell(row, columns.age), cell(row, columns.sex), cell(row, columns.site)
        return Participant(*values, group, note, why_no_group=why)


def cell(row: Row, column: str) -> str:
    """A cell; empty if it says that the value is unknown."""
    value = row.get(column.lower(), "")
    return "" if value.lower() in UNKNOWN else value


def group_of(row: Row, groups: Groups) -> tuple[str, str]:
    """The group of a line, as it is listed; a note where it was written otherwise. Empty if it is unknown."""
    written = cell(row, groups.column)
    value = groups.listed(written)
    if value.lower() in NO_GROUP and value not in groups.healthy + groups.patients:
        return "", ""
    return value, f"its group {written} was taken as {value}" if value != written else ""


def _first_of_two(before: Participant, again: Participant, lists: str) -> Participant:
    """The first of two lines of a participant, with a note; without group where the lines differ in it."""
    if before.why_no_group.startswith(lists) or before.group != again.group:
        why = before.why_no_group
        if not why.startswith(lists):
            why = f"{lists} as {before.group or 'n/a'} and as {again.group or 'n/a'}"
        return replace(before, group="", note=why, why_no_group=why)
    note = f"{lists} more than once, the first line counts"
    return replace(before, note="; ".join(dict.fromkeys(filter(None, [*before.note.split("; "), note]))))


def _matched(listed: dict[str, Participant], names: Sequence[str], prefix: str, table: str) -> dict[str, Participant]:
    """The participants or sessions by the name of their folder, or by their own name where there is no such folder.

    Where the two are written differently, the one folder and the one line that fit each other belong together.
    """
    own = {prefix + re.sub(f"^{prefix}", "", name, flags=re.IGNORECASE): name for name in reversed(listed)}
    found = {name: listed[own[name]] for name in reversed(own)}
    folders, lines = defaultdict(list), defaultdict(list)
    for name in names:
        folders[same_label(name)].append(name)
    for name in own:
        lines[same_label(name)].append(name)
    for name in names:
        if name in own or not (similar := lines[same_label(name)]):
            continue
        written = own[similar[0]]
        if len(similar) == len(folders[same_label(name)]) == 1:
            note = f"{table} has {written}, the folder is {name}"
            found[name] = replace(listed[written], note="; ".join(filter(None, [note, listed[written].note])))
            del found[similar[0]]
        else:
            several = " and ".join(sorted([own[other] for other in similar]))
            why = f"{table} has {several}, the folders are {' and '.join(folders[same_label(name)])}"
            found[name] = Participant(note=why, why_no_group=why)
    return found


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")


def _table(settings: Bids, folder: Path) -> tuple[Path | None, str]:
    """`participants.tsv` of the folder, of the raw data set, or of the folder above, where labels have a prefix."""
    root = Path(settings.root)
    places = [(folder, ""), (root, "")]
    if root.parent.name == "derivatives":
        places.append((root.parent.parent, ""))
    places.append((root.parent, f"{root.name}/"))
    candidates = ((place / "participants.tsv", prefix) for place, prefix in places)
    return next(((path, prefix) for path, prefix in candidates if path.is_file() or path.is_symlink()), (None, ""))
