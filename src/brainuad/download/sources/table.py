"""Scans that are listed in a plain table. Imported while the Snakefile is parsed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brainuad.config.datasets import Groups, Table
from brainuad.download.sources import bids_names as names
from brainuad.download.sources.content import SourceContent, unmasked_note
from brainuad.download.sources.participants import cell, group_of
from brainuad.download.sources.scan_source import ScanSource
from brainuad.download.sources.text_table import LineProblem, Row, TextTable, read_text_table
from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.pointers import content_missing
from brainuad.formats.scans import Scan, with_sequences

NEEDED = ("subject", "image")
OPTIONAL = ("session", "mask", "age", "sex", "site", "group", "healthy", "lesion_type")
REFERENCE = "register_with"
"""Column of the reference scan; read if the data set's settings name its modality."""
PLAIN = Groups(healthy=["healthy", "control"], patients=["patient", "patients"])
"""Values of a column `group` if the settings define none."""
FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
HANDLED = (
    Handling(
        "mask",
        "one mask in the lines of two patients, or a scan as its own mask",
        "refused",
        "the reason names the lines",
    ),
)
SHOWN = 20
"""Problems in one message."""
RENAMED_COLUMNS = {"kind": "lesion_type"}


class TableSource(ScanSource[Table]):
    """A table with one line per scan."""

    def find_scans(self) -> list[Scan]:
        """As in the base class."""
        self.content = read_table(self.label, self.settings)
        return self.content.scans

    def make_scans(self, folder: Path) -> list[Scan]:  # noqa: ARG002
        """As in the base class; makes no files."""
        return self.find_scans()


@dataclass(frozen=True)
class _Line:
    """A line of the table."""

    number: int
    row: Row
    scan: Scan


def read_table(label: str, settings: Table) -> SourceContent:
    """The scans of a table, sorted, without those of the other group and excluded subjects.

    Subjects and sessions become BIDS labels: letters and digits only. Raises InputError if the table cannot be read or
    is empty, if patients are to be scored and have no lesion mask, or with all problems of its lines.
    """
    path = Path(settings.file)
    table = _read(label, path)
    columns, problems = table.columns, list(table.problems)
    used = [
        *NEEDED,
        *([settings.groups.column.lower()] if settings.groups else []),
        *[REFERENCE] * _with_reference(settings),
        *[name.lower() for name in settings.read_sequences],
    ]
    if twice := [name for name in (*used, *OPTIONAL) if columns.count(name) > 1]:
        raise InputError(f"{path.name} has two columns {twice[0]}", file=path, do="rename or remove one of them")
    if old := [name for name in columns if name in RENAMED_COLUMNS and name not in used]:
        do = "rename it in the first line"
        raise InputError(f"the column {old[0]} is now {RENAMED_COLUMNS[old[0]]}", file=path, do=do)
    if missing := [name for name in used if name not in columns]:
        why = "it has " + ", ".join(columns) if columns else "it is empty"
        do = f"add it to the first line, or correct datasets.{label}"
        raise InputError(f"{path.name} has no column {missing[0]}", file=path, why=why, do=do)
    lines = [_Line(number, row, _scan(label, path.parent, row, settings)) for number, row in table.rows]
    belongs = [_belongs(line.row, columns, settings) for line in lines]
    groups = zip(lines, belongs, strict=True)
    problems += [(line.number, problem) for line, problem in groups if isinstance(problem, str)]
    problems += [*_bad_labels(lines), *_duplicates(lines), *_bad_files(lines)]
    if not settings.healthy:
        problems += _bad_masks([line for line, belonging in zip(lines, belongs, strict=True) if belonging is True])
    if problems:
        messages = [f"line {number}: {problem}" for number, problem in sorted(problems)]
        more = [f"and {len(messages) - SHOWN} more"] if len(messages) > SHOWN else []
        listing = [f"{len(messages)} problems:", *messages[:SHOWN], *more]
        why = "\n        ".join(listing if len(messages) > 1 else messages)
        raise InputError(f"the table of {label} cannot be used", file=path, why=why, do="correct these lines")
    if unknown := set(settings.exclude) - {line.scan.subject for line in lines}:
        do = f"correct datasets.{label}.exclude"
        raise InputError(f"{sorted(unknown)[0]} is excluded but not in {label}", file=path, do=do)
    scans = [line.scan for line, belonging in zip(lines, belongs, strict=True) if belonging]
    scans = sorted((scan for scan in scans if scan.subject not in settings.exclude), key=lambda scan: scan.scan)
    if not scans:
        group = "healthy subject" if settings.healthy else "patient"
        raise InputError(f"{label} holds no scans", file=path, why=f"no line is of a {group}", do="add lines")
    if not settings.healthy and settings.split is not None and not any(scan.mask for scan in scans):
        do = f"fill in the column mask, or set datasets.{label}.split to null"
        raise InputError(f"{label} has no lesion mask to score by", file=path, do=do)
    unread = [name for name in columns if name not in (*used, *OPTIONAL)]
    notes = [f"{path.name} has columns that are not read: {', '.join(unread)}"] if unread else []
    return SourceContent(scans, notes=[*table.notes, *notes, *unmasked_note(scans, settings)])


def _read(label: str, path: Path) -> TextTable:
    try:
        return read_text_table(path, NEEDED, any_encoding=False)
    except InputError as error:
        do = error.do if path.is_file() else f"correct datasets.{label}.file"
        raise InputError(f"cannot read the table of {label}", file=path, why=error.why, do=do) from None


def _with_reference(settings: Table) -> bool:
    return settings.register_with is not None


def _scan(label: str, folder: Path, row: Row, settings: Table) -> Scan:
    subject, session = (
        f"sub-{names.clean(row['subject'].removeprefix('sub-'))}",
        names.clean(cell(row, "session").removeprefix("ses-")),
    )
    image, mask, reference = (cell(row, name) for name in ("image", "mask", REFERENCE))
    further = {name: _path(folder, cell(row, name)) for name in settings.read_sequences}
    scan = Scan(
        scan=f"{subject}_ses-{session}" if session else subject,
        subject=subject,
        dataset=label,
        image=_path(folder, image),
        mask=_path(folder, mask),
        reference=_path(folder, reference) if _with_reference(settings) else "",
        age=cell(row, "age"),
        sex=cell(row, "sex"),
        site=cell(row, "site"),
        lesion_type=cell(row, "lesion_type"),
    )
    return with_sequences(scan, {name: path for name, path in further.items() if path})


def _path(folder: Path, written: str) -> str:
    """A file of the table, whose paths start at its folder or at the home of a user."""
    return str(folder / os.path.expanduser(written)) if written else ""  # noqa: PTH111 - Path's raises for no user


def _belongs(row: Row, columns: list[str], settings: Table) -> bool | str:
    """Whether a line belongs to the data set, or what is wrong with its group."""
    groups = settings.groups or (PLAIN if "group" in columns else None)
    by_number = "healthy" in columns and not (groups and groups.column.lower() == "healthy")
    flag = cell(row, "healthy").lower()
    if by_number and flag not in FLAGS:
        return f"healthy is {flag or 'empty'}: write 1 or 0"
    if groups is None:
        return FLAGS[flag] == settings.healthy if by_number else True
    written = cell(row, groups.column)
    value, _ = group_of(row, groups)
    if not value or (settings.groups is None and value not in groups.healthy + groups.patients):
        do = "" if settings.groups else ": write healthy or patient, or say in `groups` which is which"
        return f"{groups.column} is {written or 'empty'}{do}"
    if by_number and groups.takes(value, not FLAGS[flag]):
        return f"healthy is {flag} but {groups.column} is {value}"
    return groups.takes(value, settings.healthy)


def _bad_labels(lines: list[_Line]) -> Iterator[LineProblem]:
    """Names without a letter or digit, and different names that give the same label."""
    first: dict[str, tuple[int, str]] = {}
    for line in lines:
        subject, session = cell(line.row, "subject").removeprefix("sub-"), cell(line.row, "session")
        if not names.clean(subject):
            yield line.number, f"subject {subject} has no letter or digit" if subject else "no subject"
            continue
        if session and not names.clean(session.removeprefix("ses-")):
            yield line.number, f"session {session} has no letter or digit"
        if len(line.scan.scan) > names.LONGEST_LABEL:
            yield line.number, f"subject and session have {len(line.scan.scan)} letters, at most {names.LONGEST_LABEL}"
            continue
        # some file systems do not tell capital from small letters
        for written, made in ((subject, line.scan.subject), (f"{subject}, {session}", f"{line.scan.scan}, ")):
            number, other = first.setdefault(made.casefold(), (line.number, written))
            if other != written:
                made = made.removesuffix(", ")
                yield line.number, f"{written} and {other} (line {number}) both become {made}"
                break


def _duplicates(lines: list[_Line]) -> Iterator[LineProblem]:
    """Scans and images that appear in two lines."""
    scans: dict[tuple[str, str], int] = {}
    images: dict[str, int] = {}
    for line in lines:
        own = cell(line.row, "subject").removeprefix("sub-"), cell(line.row, "session").removeprefix("ses-")
        if own[0] and (before := scans.setdefault(own, line.number)) != line.number:
            do = "give each scan a session of its own"
            yield line.number, f"{line.scan.scan} is in line {before} already: {do}"
        image = line.scan.image
        if image and (before := images.setdefault(image, line.number)) != line.number:
            yield line.number, f"image {line.row['image']} is in line {before} already"


def _bad_masks(lines: list[_Line]) -> Iterator[LineProblem]:
    """Masks of two patients, and masks that are the scan itself."""
    first: dict[str, tuple[int, str]] = {}
    for line in (line for line in lines if line.scan.mask):
        before, subject = first.setdefault(line.scan.mask, (line.number, line.scan.subject))
        if subject != line.scan.subject:
            yield line.number, f"mask {line.row['mask']} is that of {subject} in line {before}"
        if line.scan.mask == line.scan.image:
            yield line.number, f"the mask is the image, {line.row['image']}"


def _bad_files(lines: list[_Line]) -> Iterator[LineProblem]:
    """Missing files, and lesion types that cannot be part of a column's name."""
    for line in lines:
        if not line.scan.image:
            yield line.number, "no image"
        for path in filter(None, line.scan.files().values()):
            if names.nifti_stem(path) is None:
                yield line.number, f"{path} does not end in .nii or .nii.gz"
            elif Path(path).is_dir() or not (Path(path).exists() or Path(path).is_symlink()):
                do = ": write / in place of \\" if "\\" in path else ""
                yield line.number, f"there is no file {path}{do}"
            elif missing := content_missing(path):
                yield line.number, f"{path} {missing}"
        if not re.fullmatch(r"[\w;]*", line.scan.lesion_type, re.ASCII):
            yield (
                line.number,
                f"lesion_type is {line.scan.lesion_type}: use letters, digits and _, and ; between several",
            )
