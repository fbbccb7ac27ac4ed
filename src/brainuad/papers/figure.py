"""The picture of a paper's page: its numbers and ours, system by system."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from brainuad.figures.plot import INK, PALETTE, SETTINGS
from brainuad.papers.finished_study import Number

ROW, WIDTH = 24, 640
"""Pixels: height of a row, width of the picture."""
FRAME = {"left": 190, "right": 16, "top": 44, "bottom": 44}


@dataclass(frozen=True)
class FigureRow:
    """A system on a test set."""

    system: str
    place: str
    """Where, in words; empty for the only test set."""
    paper: float | None
    """The paper's value; None where its text has none."""
    own: Number | None
    """Ours with the paper's map and postprocessing."""
    other: Number | None
    """With our map."""
    ceiling: float | None = None
    """What a perfect map reaches after the paper's postprocessing."""


def svg(title: str, metric: str, rows: Sequence[FigureRow]) -> str:
    """The picture; equal rows give equal text."""
    height = FRAME["top"] + FRAME["bottom"] + ROW * len(rows)
    with mpl.rc_context(SETTINGS):
        figure = Figure((WIDTH / 72, height / 72), facecolor="white")
        figure.subplots_adjust(
            FRAME["left"] / WIDTH, FRAME["bottom"] / height, 1 - FRAME["right"] / WIDTH, 1 - FRAME["top"] / height
        )
        axes = figure.add_subplot(xlabel=metric)
        axes.set_title(title, fontsize=10.5, loc="left", x=-FRAME["left"] / (WIDTH - FRAME["left"]) * 0.9, pad=26)
        for kind, colour, marker, shift in KINDS:
            points = [(number, place) for place, row in enumerate(rows) if (number := _of(row, kind)) is not None]
            for number, place in points:
                if not math.isnan(number.low):
                    axes.plot([number.low, number.high], [place + shift] * 2, color=colour, linewidth=1.4)
            style: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour, "markersize": 6}
            if points:
                axes.plot(
                    [each.value for each, _ in points], [place + shift for _, place in points], label=kind, **style
                )
        axes.set_yticks(range(len(rows)), [row.system + row.place for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0)
        axes.grid(axis="x", color=INK, alpha=0.2, linewidth=0.7)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, frameon=False, fontsize=9, handletextpad=0.2
        )
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


KINDS = (
    ("paper", PALETTE[1], "D", -0.2),
    ("ours, the paper's map", PALETTE[0], "o", 0.0),
    ("ours, our map", PALETTE[2], "s", 0.2),
    ("ceiling of a perfect map", INK, "|", 0.0),
)


def _of(row: FigureRow, kind: str) -> Number | None:
    nan = math.nan
    if kind == "ours, the paper's map":
        return row.own
    if kind == "ours, our map":
        return row.other
    value = row.paper if kind == "paper" else row.ceiling
    return None if value is None else Number(value, nan, nan)
