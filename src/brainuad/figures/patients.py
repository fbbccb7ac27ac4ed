"""A row per model: the value of each patient with mean and interval, and beside it the differences from a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.ticker import MaxNLocator

from brainuad.figures.shapes import BLUE, GREEN, GREY, ORANGE, Dot, Picture, Shape, Stroke, Words, label_width

ROW, TOP, PANEL, BETWEEN, RIGHT = 30, 44, 300, 34, 14
"""In units of the SVG: height of a row, the axis above, width of a panel, between panels, and right of them."""
COLOURS = {"better": GREEN, "worse": ORANGE}
"""Of a mean difference, by verdict."""


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; NaN ends where there is none. `verdict`: on a difference."""

    value: float
    low: float
    high: float
    verdict: str = ""

    @property
    def ends(self) -> list[float]:
        """The finite numbers."""
        return [number for number in (self.value, self.low, self.high) if np.isfinite(number)]


@dataclass(frozen=True)
class ModelRow:
    """A model. `values`, `differences`: by patient; `difference`: None where the two were not compared."""

    model: str
    values: Mapping[str, float]
    mean: Interval
    differences: Mapping[str, float] = field(default_factory=dict)
    difference: Interval | None = None


@dataclass(frozen=True)
class _Axis:
    """Of a panel: from `low` to `high`, drawn from `left` on."""

    title: str
    left: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * PANEL

    def drawn(self, rows: int) -> list[Shape]:
        parts: list[Shape] = [Words((self.left + PANEL / 2, 13), self.title, "middle")]
        for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(self.low, self.high):
            if self.low - 1e-9 <= tick <= self.high + 1e-9:
                bottom = TOP + ROW * rows
                parts.append(
                    Stroke((self.x(tick), TOP - 4), (self.x(tick), bottom), GREY, 1 if abs(tick) < 1e-9 else 0.3)
                )
                parts.append(Words((self.x(tick), TOP - 10), f"{round(tick, 10):g}", "middle"))
        return parts

    def interval(self, found: Interval, y: float, about: str) -> list[Shape]:
        colour = COLOURS.get(found.verdict, BLUE)
        ends = [] if len(found.ends) < 3 else [Stroke((self.x(found.low), y), (self.x(found.high), y), colour, 2.5)]
        return [*ends, Dot((self.x(found.value), y), 5, colour, about)]


def patient_picture(title: str, rows: Sequence[ModelRow], reference: str = "") -> Picture:
    """`rows`: best first; `reference`: what differences are from; without one there is one panel.

    A dot of a patient has the number of the patient, the same in all rows.
    """
    people = {person: number for number, person in enumerate(sorted({name for row in rows for name in row.values}))}
    left = label_width([row.model for row in rows])
    values = [number for row in rows for number in (*row.values.values(), *row.mean.ends)]
    panels = [_Axis("AUPRC per scan", left, 0.0, max(values, default=1.0) * 1.04 or 1.0)]
    compared = [row for row in rows if row.difference is not None]
    if reference and compared:
        ends = [number for row in compared for number in (*row.differences.values(), *_ends(row))]
        room = 0.04 * (max(*ends, 0) - min(*ends, 0)) or 0.1
        low, high = min(*ends, 0) - room, max(*ends, 0) + room
        panels.append(_Axis(f"minus that of {reference}", left + PANEL + BETWEEN, low, high))
    parts = [each for panel in panels for each in panel.drawn(len(rows))]
    for place, row in enumerate(rows):
        y = TOP + ROW * place
        parts.append(Words((left - 10, y + ROW * 0.5 + 4), row.model, "end"))
        parts += _row(panels[0], y, row.model, row.values, row.mean, people)
        if len(panels) > 1 and row.difference is not None:
            parts += _row(panels[1], y, row.model, row.differences, row.difference, people)
    width = panels[-1].left + PANEL + RIGHT
    return Picture((width, TOP + ROW * len(rows) + 6), title, parts, _table(rows, reference))


def _table(rows: Sequence[ModelRow], reference: str) -> list[list[str | float]]:
    """A row for each patient of each model, and one of the mean, with intervals."""
    names = ["model", "patient", "AUPRC per scan", "low", "high"]
    names += [f"minus that of {reference}", "difference low", "difference high", "verdict"]
    table: list[list[str | float]] = [[*names]]
    none, nobody = Interval(np.nan, np.nan, np.nan), np.nan
    for row in rows:
        mean, other = row.mean, row.difference or none
        numbers = [mean.value, mean.low, mean.high, other.value, other.low, other.high]
        table.append([row.model, "mean", *numbers, other.verdict])
        for person, value in row.values.items():
            difference = row.differences.get(person, nobody)
            table.append([row.model, person, value, nobody, nobody, difference, nobody, nobody, ""])
    return table


def _ends(row: ModelRow) -> list[float]:
    return row.difference.ends if row.difference else []


def _row(
    axis: _Axis, top: float, model: str, values: Mapping[str, float], mean: Interval, people: Mapping[str, int]
) -> list[Shape]:
    """Dots of patients above the mean with its interval."""
    parts: list[Shape] = [
        Dot((axis.x(value), top + 9), 3.2, GREY, f"{model}, {name}: {value:.3f}", people[name])
        for name, value in values.items()
    ]
    interval = f" [{mean.low:.3f}, {mean.high:.3f}]" if len(mean.ends) == 3 else ""
    verdict = f", {mean.verdict}" if mean.verdict else ""
    return parts + axis.interval(mean, top + 20, f"{model}: mean {mean.value:.3f}{interval}{verdict}")
