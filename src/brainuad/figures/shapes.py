"""Pictures that no plot of lines is: strokes, words and dots, as SVG for a web page and as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from brainuad.figures.plot import INK, SETTINGS

GREY, BLUE, GREEN, ORANGE = "#7a8391", "#0072b2", "#009e73", "#d55e00"
LETTER = 7.2
"""Width of a letter, in units of the SVG."""
LONGEST = 40
FAINT = 0.55
"""Opacity of the dots of people."""
HEAD, FONT = 26, 10.5
"""Of a file, in units: height of the title above the picture, size of the letters."""
ANCHORS = {"start": "left", "middle": "center", "end": "right"}

Point = tuple[float, float]
Table = Sequence[Sequence[str | float]]


@dataclass(frozen=True)
class Stroke:
    """Between two points."""

    start: Point
    end: Point
    colour: str
    width: float

    def svg(self) -> str:
        ends = f'x1="{self.start[0]:.1f}" y1="{self.start[1]:.1f}" x2="{self.end[0]:.1f}" y2="{self.end[1]:.1f}"'
        return f'<line {ends} stroke="{self.colour}" stroke-width="{self.width:g}"/>'


@dataclass(frozen=True)
class Words:
    """`anchor`: start, middle or end."""

    place: Point
    words: str
    anchor: str = "start"

    def svg(self) -> str:
        where = f'x="{self.place[0]:.1f}" y="{self.place[1]:.1f}" text-anchor="{self.anchor}"'
        return f"<text {where}>{escape(self.words)}</text>"


@dataclass(frozen=True)
class Dot:
    """A disc with a tooltip. `person`: number of the person whom it stands for."""

    place: Point
    radius: float
    colour: str
    about: str
    person: int | None = None

    def svg(self) -> str:
        where = f'cx="{self.place[0]:.1f}" cy="{self.place[1]:.1f}" r="{self.radius:g}" fill="{self.colour}"'
        person = "" if self.person is None else f' data-person="{self.person}"'
        return f"<circle {where}{person}><title>{escape(self.about)}</title></circle>"


Shape = Stroke | Words | Dot


@dataclass(frozen=True)
class Picture:
    """`size`: width and height in units; `table`: what is drawn, a row of names first."""

    size: Point
    title: str
    shapes: Sequence[Shape]
    table: Table

    def svg(self) -> Markup:
        """For a web page, with the title as its accessible name."""
        name = f'role="img" aria-label="{escape(self.title)}"'
        width, height = self.size
        head = f'<svg class="chart" width="{width:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" {name}>'
        return Markup(f"{head}{''.join(shape.svg() for shape in self.shapes)}</svg>")  # noqa: S704

    def files(self) -> dict[str, bytes]:
        """By ending of a file: `png` and `svg` with the title, `tsv` with the table; equal for equal pictures."""
        with mpl.rc_context(SETTINGS):
            figure = self._drawn()
            png, svg = io.BytesIO(), io.BytesIO()
            FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
            FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
        rows = ["\t".join(_cell(each) for each in row) for row in self.table]
        return {"png": png.getvalue(), "svg": svg.getvalue(), "tsv": "\n".join([*rows, ""]).encode()}

    def _drawn(self) -> Figure:
        width, height = self.size
        figure = Figure((width / 72, (height + HEAD) / 72), dpi=144)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, -HEAD))
        axes.set_axis_off()
        how: dict[str, Any] = {"fontsize": FONT, "parse_math": False}
        axes.text(width / 2, 9 - HEAD / 2, self.title, ha="center", **how)
        for shape in self.shapes:
            if isinstance(shape, Words):
                axes.text(*shape.place, shape.words, ha=ANCHORS[shape.anchor], color=INK, **how)
            elif isinstance(shape, Dot):
                opacity = 1 if shape.person is None else FAINT
                axes.add_patch(Circle(shape.place, shape.radius, color=shape.colour, alpha=opacity, linewidth=0))
            else:
                ends = zip(shape.start, shape.end, strict=True)
                axes.add_line(Line2D(*ends, color=shape.colour, linewidth=shape.width, solid_capstyle="butt"))
        return figure


def label_width(labels: list[str]) -> float:
    """Room for the longest of some labels."""
    return min(max(map(len, labels)), LONGEST) * LETTER + 12


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else "" if value != value else f"{value:.6g}"
