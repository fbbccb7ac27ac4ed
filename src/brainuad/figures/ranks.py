"""Critical-difference picture (Demšar 2006) with a row per model: average ranks, and bars along those that are open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from brainuad.figures.shapes import BLUE, GREY, Dot, Picture, Shape, Stroke, Words, label_width

ROW, TOP, GAP, WIDTH, AXIS = 19, 26, 9, 560, 250
"""In units of the SVG: height of a row, the axis above, between bars, width of the picture and of the axis of ranks."""


def open_runs(models: Sequence[str], decided: Callable[[str, str], bool]) -> list[tuple[int, int]]:
    """The longest runs of neighbours (first and last place) in which no two models are decided to differ."""
    runs: list[tuple[int, int]] = []
    for first in range(len(models)):
        last = first
        while last + 1 < len(models) and not any(decided(models[i], models[last + 1]) for i in range(first, last + 1)):
            last += 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def rank_picture(title: str, ranks: Mapping[str, float], runs: Sequence[tuple[int, int]]) -> Picture:
    """`ranks`: average rank by model, best first; `runs`: of `open_runs`. In the table each bar has a number."""
    left = label_width(list(ranks))
    width = max(WIDTH, left + AXIS + 30 + GAP * len(runs))
    most, rows = max(len(ranks), 2), list(ranks.items())

    def x(rank: float) -> float:
        return left + (rank - 1) / (most - 1) * AXIS

    parts: list[Shape] = []
    for rank in sorted({1, most, *range(5, most, 5)}):
        parts.append(Stroke((x(rank), TOP - 6), (x(rank), TOP + ROW * len(rows)), GREY, 0.3))
        parts.append(Words((x(rank), TOP - 10), str(rank), "middle"))
    for place, (model, rank) in enumerate(rows):
        y = TOP + ROW * (place + 0.5)
        parts.append(Words((left - 8, y + 4), model, "end"))
        parts.append(Dot((x(rank), y), 4.5, BLUE, f"{model}: average rank {rank:.2f}"))
    for column, (first, last) in enumerate(runs):
        at = left + AXIS + 20 + GAP * column
        parts.append(Stroke((at, TOP + ROW * first + 4), (at, TOP + ROW * (last + 1) - 4), GREY, 4))
    table: list[list[str | float]] = [["model", "average rank", "bars"]]
    for place, (model, rank) in enumerate(rows):
        bars = [str(number) for number, (first, last) in enumerate(runs, 1) if first <= place <= last]
        table.append([model, rank, ", ".join(bars)])
    return Picture((width, TOP + ROW * len(rows) + 6), title, parts, table)
