"""Scans that a plain table names. Light enough to run while the Snakefile is parsed."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from brainuad.config.datasets import Groups, Table
from brainuad.download import names
from brainuad.download.persons import Row, cell
from brainuad.errors import InputError
from brainuad.formats.scans import Scan

NEEDED = ("subject", "image")
OPTIONAL = ("session", "mask", "age", "sex", "site", "group", "healthy", "lesion_type")
REFERENCE = "register_with"
"""The column of what a scan is registered with; read where the data set's settings name its modality."""
PLAIN = Groups(healthy=["healthy", "control"], patients=["patient", "patients"])
"""What a column `group` may say where settings do not say otherwise."""
FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
SHOWN = 20


@dataclass(frozen=True)
class Listed:
    """What a table lists."""

    scans: list[Scan]
    notes: list[str]
    """What a user should know and a study may go on with."""


@dataclass(frozen=True)
class _Line:
    """A line of the table."""

    number: int
    row: Row
    scan: Scan


Fault = tuple[int, str]
"""Line number and what is wrong there."""


def read_table(label: str, settings: Table) -> Listed:
    """The scans of a table, sorted; those of the other group and excluded subjects are left out.

    Subjects and sessions become BIDS labels: letters and digits only. Raises InputError if the table cannot be read or
    lists nobody, if patients are to be scored and have no lesion mask, or for everything that is wrong with its lines,
    all at once.
    """
    path = Path(settings.file)
    columns, numbered, faults = _read(label, path)
    used = [
        *NEEDED,
        *([settings.groups.column.lower()] if settings.groups else []),
        *[REFERENCE] * _with_reference(settings),
    ]
    if missing := [name for name in used if name not in columns]:
        why, do = "it has " + ", ".join(columns), f"add it to the first line, or correct datasets.{label}"
        raise InputError(f"{path.name} has no column {missing[0]}", file=path, why=why, do=do)
    lines = [_Line(number, row, _scan(label, path.parent, row, _with_reference(settings))) for number, row in numbered]
    takes = [_takes(line.row, columns, settings) for line in lines]
    faults += [(line.number, fault) for line, fault in zip(lines, takes, strict=True) if isinstance(fault, str)]
    faults += [*_bad_labels(lines), *_double(lines), *_bad_files(lines)]
    if faults:
        told = [f"line {number}: {fault}" for number, fault in sorted(faults)]
        shown = [f"{len(told)} faults:", *told[:SHOWN], *[f"and {len(told) - SHOWN} more"] * (len(told) > SHOWN)]
        why = "\n        ".join(shown if len(told) > 1 else told)
        raise InputError(f"the table of {label} cannot be used", file=path, why=why, do="correct these lines")
    if unknown := set(settings.exclude) - {line.scan.subject for line in lines}:
        do = f"correct datasets.{label}.exclude"
        raise InputError(f"{sorted(unknown)[0]} is excluded but not in {label}", file=path, do=do)
    scans = [line.scan for line, taken in zip(lines, takes, strict=True) if taken]
    scans = sorted((scan for scan in scans if scan.subject not in settings.exclude), key=lambda scan: scan.scan)
    if not scans:
        kind = "healthy subject" if settings.healthy else "patient"
        raise InputError(f"{label} holds no scans", file=path, why=f"no line is of a {kind}", do="add lines")
    if not settings.healthy and settings.split is not None and not any(scan.mask for scan in scans):
        do = f"fill in the column mask, or set datasets.{label}.split to null"
        raise InputError(f"{label} has no lesion mask to score by", file=path, do=do)
    odd = [name for name in columns if name not in (*used, *OPTIONAL)]
    return Listed(scans, [f"{path.name} has columns that are not read: {', '.join(odd)}"] if odd else [])


def _read(label: str, path: Path) -> tuple[list[str], list[tuple[int, Row]], list[Fault]]:
    """Columns in small letters, lines with their numbers, and lines that are too long."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        do = f"correct datasets.{label}.file, or save it as UTF-8"
        raise InputError(f"cannot read the table of {label}", file=path, why=why, do=do) from None
    first = text.partition("\n")[0]
    # spreadsheets of half of Europe write semicolons where the decimal sign is a comma
    delimiter = ("," if "," in first else ";") if path.suffix.lower() == ".csv" else "\t"
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    columns = [cell.strip().lower() for cell in next(reader, [])]
    rows, faults = [], []
    for cells in reader:
        if len(cells) > len(columns) and any(cells[len(columns) :]):
            faults.append((reader.line_num, f"{len(cells)} cells, the first line has {len(columns)}"))
        if any(cell.strip() for cell in cells):
            padded = [*cells, *[""] * len(columns)]
            rows.append((reader.line_num, {key: cell.strip() for key, cell in zip(columns, padded, strict=False)}))
    return columns, rows, faults


def _with_reference(settings: Table) -> bool:
    return settings.register_with is not None


def _scan(label: str, folder: Path, row: Row, with_reference: bool) -> Scan:
    subject, session = f"sub-{_clean(row['subject'], 'sub-')}", _clean(cell(row, "session"), "ses-")
    image, mask, reference = (cell(row, name) for name in ("image", "mask", REFERENCE))
    return Scan(
        scan=f"{subject}_ses-{session}" if session else subject,
        subject=subject,
        dataset=label,
        image=str(folder / image) if image else "",
        mask=str(folder / mask) if mask else "",
        reference=str(folder / reference) if reference and with_reference else "",
        age=cell(row, "age"),
        sex=cell(row, "sex"),
        site=cell(row, "site"),
        lesion_type=cell(row, "lesion_type"),
    )


def _clean(text: str, prefix: str) -> str:
    """Letters and digits of a name, without accents: what a BIDS label may hold."""
    plain = unicodedata.normalize("NFKD", text.removeprefix(prefix)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]", "", plain)


def _takes(row: Row, columns: list[str], settings: Table) -> bool | str:
    """Whether the data set takes a line, or what is wrong with the group that the line states."""
    groups = settings.groups or (PLAIN if "group" in columns else None)
    by_number = "healthy" in columns and not (groups and groups.column.lower() == "healthy")
    flag = cell(row, "healthy").lower()
    if by_number and flag not in FLAGS:
        return f"healthy is {flag or 'empty'}: write 1 or 0"
    if groups is None:
        return FLAGS[flag] == settings.healthy if by_number else True
    written = cell(row, groups.column)
    value = written if settings.groups else written.lower()
    if not value or (settings.groups is None and value not in groups.healthy + groups.patients):
        do = "" if settings.groups else ": write healthy or patient, or say in `groups` which is which"
        return f"{groups.column} is {written or 'empty'}{do}"
    if by_number and groups.takes(value, not FLAGS[flag]):
        return f"healthy is {flag} but {groups.column} is {value}"
    return groups.takes(value, settings.healthy)


def _bad_labels(lines: list[_Line]) -> Iterator[Fault]:
    """Names without a letter or digit, and different names that become one label."""
    first: dict[str, tuple[int, str]] = {}
    for line in lines:
        subject, session = cell(line.row, "subject").removeprefix("sub-"), cell(line.row, "session")
        if not _clean(subject, ""):
            yield line.number, f"subject {subject} has no letter or digit" if subject else "no subject"
            continue
        if session and not _clean(session, "ses-"):
            yield line.number, f"session {session} has no letter or digit"
        # some file systems do not tell capital from small letters
        for written, made in ((subject, line.scan.subject), (f"{subject}, {session}", f"{line.scan.scan}, ")):
            number, other = first.setdefault(made.casefold(), (line.number, written))
            if other != written:
                made = made.removesuffix(", ")
                yield line.number, f"{written} and {other} (line {number}) both become {made}"
                break


def _double(lines: list[_Line]) -> Iterator[Fault]:
    """Scans and images that stand in two lines."""
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


def _bad_files(lines: list[_Line]) -> Iterator[Fault]:
    """Files that are not there, and kinds that no column of the results could be named after."""
    for line in lines:
        if not line.scan.image:
            yield line.number, "no image"
        for path in filter(None, line.scan.files().values()):
            if names.stem(path) is None:
                yield line.number, f"{path} does not end in .nii or .nii.gz"
            elif not Path(path).is_file():
                yield line.number, f"there is no file {path}"
        if not re.fullmatch(r"[\w;]*", line.scan.lesion_type, re.ASCII):
            yield (
                line.number,
                f"lesion_type is {line.scan.lesion_type}: use letters, digits and _, and ; between several",
            )
