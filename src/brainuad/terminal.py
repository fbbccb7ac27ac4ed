"""Tables for people: drawn by rich in a terminal; elsewhere plain aligned columns, one line a row, nothing cut.

A table of numbers that is too wide for a terminal becomes several below each other, each with the first column.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.table import Table

UNLIMITED = 100_000
"""Columns of a text that is not for a terminal: wider than any table."""
LONGEST_NUMBER = 30
"""Letters of a cell; tables with longer ones hold sentences or paths, which are folded."""
BETWEEN = 3
"""Letters between two columns."""


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


def _parts(made: Table, width: int) -> list[Table]:
    """The table, or, where it is one of numbers and wider than `width` letters, tables of some of its columns."""
    columns = [[str(column.header), *map(str, column.cells)] for column in made.columns]
    widths = [max(len(line) for cell in cells for line in cell.split("\n")) + BETWEEN for cells in columns]
    if sum(widths) <= width or max(widths) > LONGEST_NUMBER + BETWEEN:
        return [made]
    groups: list[list[int]] = [[0]]
    for number in range(1, len(columns)):
        if len(groups[-1]) > 1 and sum(widths[i] for i in [*groups[-1], number]) > width:
            groups.append([0])
        groups[-1].append(number)
    right = [str(column.header) for column in made.columns if column.justify == "right"]
    titles = [str(made.title or ""), *[""] * (len(groups) - 1)]
    parts = []
    for group, title in zip(groups, titles, strict=True):
        headings, *rows = zip(*(columns[i] for i in group), strict=True)
        parts.append(table(headings, rows, right=right, title=title))
    return parts


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

            console = Console(file=file, markup=False, highlight=False, emoji=False)
            for each in _parts(part, console.width):
                console.print(each)
        else:
            file.write(f"{plain(part)}\n")
