"""Tables of people and scans as spreadsheets and other programs write them. Imported while the Snakefile is parsed."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.pointers import content_missing
from brainuad.formats.whole_file import GZIP

Row = dict[str, str]
LineProblem = tuple[int, str]
"""Line number and what is wrong in it."""
SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
OFFICE_FILE = b"PK\x03\x04"
"""How spreadsheets (xlsx, ods) begin: they are zip archives."""
LINE_END = re.compile(r"\r\n|\r|\n")
NO_WIDTH = re.compile("[\u200b\u200e\u200f\u2060\ufeff]")
"""Invisible letters that spreadsheets and web pages leave."""
LARGEST = 64 * 2**20
"""In bytes; tables of people are small."""

HANDLED = (
    Handling(
        "tables",
        "UTF-8 with or without a byte order mark, UTF-16, line ends of Windows and of old Macs",
        "accepted",
        "the table is read",
    ),
    Handling(
        "tables",
        "`participants.tsv` in Windows-1252 or Latin-1",
        "converted",
        "read as Windows-1252, with a note",
    ),
    Handling(
        "tables",
        "a plain table that is not UTF-8",
        "refused",
        "remedy: save it as UTF-8",
    ),
    Handling(
        "tables",
        "`.tsv` with commas or semicolons",
        "converted",
        "the separator of its first line is used",
    ),
    Handling(
        "tables",
        "a quotation mark in a tab-separated table",
        "accepted",
        "it is text like any other; quotation marks around a whole cell are removed",
    ),
    Handling(
        "tables",
        "a quotation mark that is opened and not closed, in a table with commas or semicolons",
        "refused",
        "the message names the line; in `participants.tsv` the group of its subject is not known",
    ),
    Handling(
        "tables",
        "empty lines, and those that begin with `#`, above the names of columns",
        "accepted",
        "they are skipped",
    ),
    Handling(
        "tables",
        "a line with more cells than the first",
        "refused",
        "the message names the line; in `participants.tsv` the group of its subject is not known",
    ),
    Handling(
        "tables",
        "a spreadsheet (xlsx, ods) in place of a table of text",
        "refused",
        "remedy: save it as text",
    ),
)


@dataclass
class TextTable:
    """The lines of a table."""

    columns: list[str]
    """Names in lower case."""
    rows: list[tuple[int, Row]]
    """Line number and cells by column."""
    problems: list[LineProblem] = field(default_factory=list)
    """Lines with more cells than the first."""
    notes: list[str] = field(default_factory=list)


def read_text_table(path: Path, expected: Collection[str], any_encoding: bool) -> TextTable:
    """Read a table with a line of column names.

    Columns are separated by tabs, commas or semicolons: the one that separates a column named in `expected`, in lower
    case, from the others. Raises InputError if the file cannot be read or is no text; text that is not Unicode is read
    as Windows-1252 with a note if `any_encoding`, else refused.
    """
    text, notes = _text(path, any_encoding)
    lines = LINE_END.split(text)
    above = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    if above == len(lines):
        return TextTable([], [], notes=[f"{path.name} is empty"])
    separator = _separator(path, lines[above], expected)
    if separator == "\t":
        # Tab-separated tables know no quoting: a quotation mark is a letter like others.
        cells = [(n, line.split("\t")) for n, line in enumerate(lines[above:], above + 1)]
    else:
        reader = csv.reader(io.StringIO("\n".join(lines[above:])), delimiter=separator)
        try:
            ends = [(above + reader.line_num, line) for line in reader]
        except csv.Error as error:  # a cell longer than any text, by a quotation mark that stays open
            why = f"in line {above + reader.line_num}: {error}"
            raise _unreadable(path, why, "close the quotation marks") from None
        starts = [above + 1, *(end + 1 for end, _ in ends)]
        cells = [(start, line) for start, (_, line) in zip(starts, ends, strict=False)]
        if path.suffix.lower() != ".csv":
            notes.append(f"{path.name} is separated by {SEPARATORS[separator]}, not by tabs")
    table = TextTable([name.lower() for name in map(_plain, cells[0][1])], [], notes=notes)
    if separator == "\t" and len(table.columns) == 1 and len(table.columns[0].split()) > 1:
        do = "write it with tabs, or as .csv with commas"
        raise _unreadable(path, "its columns are separated by blanks", do)
    for number, line in cells[1:]:
        values = list(map(_plain, line))
        if any("\n" in value for value in values) and _stays_open(values, table.columns, expected):
            table.problems.append((number, "a quotation mark that is not closed in it"))
        elif any(values[len(table.columns) :]):
            problem = f"{len(values)} cells, the first line has {len(table.columns)}"
            table.problems.append((number, problem))
        if any(values):
            padded = [*values, *[""] * len(table.columns)]
            table.rows.append((number, dict(zip(table.columns, padded, strict=False))))
    return table


def _text(path: Path, any_encoding: bool) -> tuple[str, list[str]]:
    if missing := content_missing(path):
        raise _unreadable(path, f"it {missing}", "correct the path, or fetch the file")
    try:
        if path.stat().st_size > LARGEST:
            raise _unreadable(path, "it is too large for a table of people", "correct the path")
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, str(error.strerror), "correct the path or its permissions") from None
    if content.startswith(GZIP):
        raise _unreadable(path, "it is compressed", "unpack it")
    if content.startswith(OFFICE_FILE):
        raise _unreadable(path, "it is a spreadsheet, not text", "save it as text, separated by tabs")
    encoding = "utf-8-sig"
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding = "utf-16"
    elif content[1:2] == b"\0" or content[:1] == b"\0":  # UTF-16 without its mark
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if not any_encoding or encoding != "utf-8-sig":
            raise _unreadable(path, "it is not UTF-8 text", "save it as UTF-8") from None
        plain = content.removeprefix(BOM_UTF8)  # lines of another program were added to a table in UTF-8
        return plain.decode("cp1252", errors="replace"), [f"{path.name} is not UTF-8, it was read as Windows-1252"]
    if "\0" in text:
        raise _unreadable(path, "it is no text: it holds zero bytes", "save it as UTF-8")
    return text, []


def _stays_open(values: list[str], columns: list[str], expected: Collection[str]) -> bool:
    """Whether a quotation mark has swallowed lines: cells are missing, or the name of a subject or file has lines."""
    named = dict(zip(columns, values, strict=False))
    return len(values) < len(columns) or any("\n" in named.get(column, "") for column in expected)


def _separator(path: Path, first: str, expected: Collection[str]) -> str:
    order = [",", ";", "\t"] if path.suffix.lower() == ".csv" else ["\t", ",", ";"]
    there = [separator for separator in order if separator in first]
    fitting = [s for s in there if {_plain(name).lower() for name in first.split(s)} & set(expected)]
    return next(iter([*fitting, *there]), order[0])


def _plain(cell: str) -> str:
    """The text of a cell, without the marks that R puts around it and letters of no width."""
    text = NO_WIDTH.sub("", cell).strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"').strip()
    return text


def _unreadable(path: Path, why: str, do: str) -> InputError:
    return InputError(f"cannot read {path.name}", file=path, why=why, do=do)
