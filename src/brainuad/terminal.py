"""Tables for people: drawn by rich in a terminal; elsewhere plain aligned columns, one line a row, nothing cut."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.table import Table

UNLIMITED = 100_000
"""Columns of a text that is not for a terminal: wider than any table."""


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = (), title: str = ""
) -> Table:
    """A table. `right`: headings of the columns that are aligned at the right."""
    from rich import box  # late: the command line starts faster without it
    from rich.table import Table

    made = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    content = [list(row) for row in rows]
    name_width = min(30, max((len(row[0]) for row in content), default=0))  # a terminal folds other columns first
    for number, heading in enumerate(headings):
        justify: Literal["right", "left"] = "right" if heading in right else "left"
        made.add_column(heading, justify=justify, overflow="fold", min_width=0 if number else name_width)
    for row in content:
        made.add_row(*row)
    return made


def plain(made: Table) -> str:
    """A table as text: two spaces between columns, no lines, no colour."""
    from rich.console import Console

    console = Console(
        width=UNLIMITED, color_system=None, force_terminal=False, markup=False, highlight=False, emoji=False
    )
    made.box, made.padding, made.pad_edge = None, (0, 2, 0, 0), False
    with console.capture() as captured:
        console.print(made)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def text(parts: Iterable[Table | str]) -> str:
    """Tables and lines as plain text."""
    return "\n".join(part if isinstance(part, str) else plain(part) for part in parts)


def aligned(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Headings and rows as plain aligned columns."""
    return plain(table(headings, rows))


def show(*parts: Table | str, file: TextIO | None = None) -> None:
    """Write tables and lines to standard output, each part on its own lines."""
    file = file or sys.stdout
    for part in parts:
        if isinstance(part, str):
            file.write(f"{part}\n")
        elif file.isatty():
            from rich.console import Console

            Console(file=file, markup=False, highlight=False, emoji=False).print(part)
        else:
            file.write(f"{plain(part)}\n")
