"""Tables and units as people read them."""

from __future__ import annotations

import io

import pytest

from brainuad import terminal, units

ROWS = [("zscore_atlas", "0.31 [0.20, 0.42]"), ("a" * 150, "0.5")]


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_that_is_not_for_a_terminal_is_plain_and_whole():
    file = io.StringIO()
    terminal.show(terminal.table(["model", "Dice"], ROWS), "the end", file=file)
    lines = file.getvalue().splitlines()
    assert lines[0].split() == ["model", "Dice"]
    assert lines[1].split(maxsplit=1) == ["zscore_atlas", "0.31 [0.20, 0.42]"], "brackets are no markup"
    assert lines[2].split() == ["a" * 150, "0.5"]
    assert lines[3] == "the end"
    assert not any(line.endswith(" ") or "\x1b" in line for line in lines)


def test_a_table_in_a_terminal_folds_long_cells_and_cuts_none(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    file = Tty()
    terminal.show(terminal.table(["model", "Dice"], ROWS, right=["Dice"], title="ms"), file=file)
    text = file.getvalue()
    assert text.count("a") - text.count("atlas") * 2 >= 150
    assert "…" not in text
    assert "0.31 [0.20, 0.42]" in text


def test_a_table_of_numbers_that_is_too_wide_for_a_terminal_is_laid_below_itself(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    file = Tty()
    headings = ["model", *(f"metric {i}\nhealthy quantile 0.98" for i in range(5))]
    rows = [[model, *(f"0.{i}{j}0 [0.043, 0.991]" for i in range(5))] for j, model in enumerate(("atlas", "dae"))]
    terminal.show(terminal.table(headings, rows), file=file)
    text = file.getvalue()
    assert all(text.count(cell) == 1 for row in rows for cell in row[1:])
    assert text.count("healthy quantile 0.98") == 5
    assert text.count("atlas") == text.count("dae") == 2
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (12, "12 bytes"),
        (4e5, "400.0 kB"),
        (3.5e8, "350.0 MB"),
        (1.24e9, "1.2 GB"),
        (2e12, "2.0 TB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_sizes(count, words):
    assert units.format_size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "10 s"), (44, "40 s"), (130, "2 min"), (5880, "1 h 38 min"), (7200, "2 h"), (259_200, "3 days")],
)
def test_durations(seconds, words):
    assert units.format_duration(seconds) == words
