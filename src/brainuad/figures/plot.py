"""Line plots, drawn by matplotlib: as SVG for a web page, and as files. Equal plots give equal bytes."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as MplPath
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7b5ab5", "#a83b3b")
"""Distinct for people with colour blindness (after Okabe and Ito 2008), and on light and dark paper."""
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 3), (8, 3, 2, 3))
"""Lengths of strokes and gaps, in units of the SVG."""
INK = "#566071"
"""Axes and labels of a PNG; in an SVG the colour of the text around it."""
MARGINS = {"left": 52, "right": 12, "top": 10, "bottom": 40}
DOT = 4.0
"""Half the edge of a point, in pixels of a PNG."""
MOST_POINTS = 240
"""Points of a line that are drawn, evenly spread."""
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "svg.hashsalt": "brainuad",
    "font.size": 10.5,
    "axes.linewidth": 0.6,
    "lines.scale_dashes": False,
}
SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
LINE_ID = "line-"
DEFAULT_STYLES = ("font-family:", "stroke-line", "stroke-dashoffset:", "fill: none", f"stroke: {INK}", f"fill: {INK}")
"""What the page's style sheet says of `.chart path` and `.chart text`, and what makes no difference."""


@dataclass(frozen=True)
class Line:
    """A curve. `steps`: drawn as the outline of a histogram whose bins start at `x`; `points`: as separate points."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    dash: tuple[float, ...] = ()
    steps: bool = False
    points: bool = False


@dataclass(frozen=True)
class Plot:
    """Lines and axes. `x_marks`, `y_marks`: labelled vertical and horizontal lines by label; `size`: in pixels."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    log_y: bool = False
    x_marks: Mapping[str, float] = field(default_factory=dict)
    y_marks: Mapping[str, float] = field(default_factory=dict)
    size: tuple[int, int] = (420, 300)
    x_ticks: Sequence[str] = ()
    """Names of the places 0, 1, 2 and so on, where these are no numbers."""


def style(index: int) -> tuple[str, tuple[float, ...]]:
    """Colour and dashes of the n-th of several lines."""
    return PALETTE[index % len(PALETTE)], DASHES[index // len(PALETTE) % len(DASHES)]


def shade(index: int) -> str:
    """Colour of the n-th of several lines that have no dashes: that of `style`, then lighter, then darker."""
    target, share = ((0, 0.0), (255, 0.45), (0, 0.35))[index // len(PALETTE) % 3]
    channels = bytes.fromhex(PALETTE[index % len(PALETTE)].removeprefix("#"))
    return "#" + bytes(round(each + share * (target - each)) for each in channels).hex()


def svg(plot: Plot) -> Markup:
    """The plot for a web page. Its title is its accessible name, and each line has its label as a tooltip."""
    buffer = io.BytesIO()
    with mpl.rc_context(SETTINGS):
        figure = _drawn(plot)
        for patch in (figure.patch, figure.axes[0].patch):
            patch.set_visible(False)
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())  # noqa: S314
    return Markup(_inline(root, plot))  # noqa: S704


def png(plot: Plot) -> bytes:
    """The plot as a picture with its title and a legend."""
    return _printed(plot, FigureCanvasAgg)


def files(plot: Plot) -> dict[str, bytes]:
    """The plot by ending of a file: `png` and `svg` with title and legend, `tsv` with all points."""
    rows = [f"{line.label}\t{x:.6g}\t{y:.6g}" for line in plot.lines for x, y in zip(line.x, line.y, strict=True)]
    header = "\t".join(["line", plot.x_label, plot.y_label])
    pictures = {"png": _printed(plot, FigureCanvasAgg), "svg": _printed(plot, FigureCanvasSVG)}
    return {**pictures, "tsv": "\n".join([header, *rows, ""]).encode()}


def _printed(plot: Plot, canvas: type[FigureCanvasAgg] | type[FigureCanvasSVG]) -> bytes:
    with mpl.rc_context(SETTINGS):
        figure = _drawn(plot)
        axes = figure.axes[0]
        axes.set_title(plot.title, fontsize=10.5, y=1)  # a place that is not searched for
        axes.legend(handles=_handles(plot.lines), frameon=False, fontsize=9)
        figure.subplots_adjust(top=0.9)
        buffer = io.BytesIO()
        match canvas(figure):
            case FigureCanvasAgg() as drawn:  # compressed quickly: a fifth larger
                drawn.print_png(buffer, metadata={"Software": None}, pil_kwargs={"compress_level": 1})
            case drawn:
                drawn.print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def _handles(lines: Sequence[Line]) -> list[Line2D]:
    """What stands beside the labels of a file's legend, each label once: a stroke, or a square for points."""
    square: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": DOT}
    handles = []
    for label, line in _by_label(lines).items():
        stroke = {"linestyle": (0, line.dash) if line.dash else "solid", "linewidth": 1.7}
        handles.append(Line2D([], [], color=line.colour, label=label, **(square if line.points else stroke)))
    return handles


def _by_label(lines: Sequence[Line]) -> dict[str, Line]:
    return {line.label: line for line in lines}


def legend(lines: Sequence[Line]) -> Markup:
    """The labels beside their strokes or squares, each label once."""
    entries = []
    for label, line in _by_label(lines).items():
        dash = f' stroke-dasharray="{" ".join(map(str, line.dash))}"' if line.dash else ""
        stroke = f'<line x1="0" y1="6" x2="26" y2="6" stroke="{line.colour}" stroke-width="2.5"{dash}/>'
        square = f'<rect x="9" y="2" width="8" height="8" fill="{line.colour}"/>'
        drawn = square if line.points else stroke
        entries.append(f'<span><svg width="26" height="12" aria-hidden="true">{drawn}</svg> {escape(label)}</span>')
    return Markup(f'<p class="legend">{"".join(entries)}</p>')  # noqa: S704


def _drawn(plot: Plot) -> Figure:
    width, height = plot.size
    figure = Figure((width / 72, height / 72), dpi=144)
    figure.subplots_adjust(
        MARGINS["left"] / width, MARGINS["bottom"] / height, 1 - MARGINS["right"] / width, 1 - MARGINS["top"] / height
    )
    axes = figure.add_subplot(xlabel=plot.x_label, ylabel=plot.y_label)
    for number, line in enumerate(plot.lines):
        x, y = _thinned(line)
        how = (0, line.dash) if line.dash else "solid"
        style: dict[str, Any] = {"linestyle": "none"} if line.points else {"linestyle": how, "linewidth": 1.7}
        drawn = axes.plot(x, y, color=line.colour, label=line.label, **style)
        drawn[0].set_gid(f"{LINE_ID}{number}")
    _scale(axes, plot)
    for number, line in enumerate(plot.lines):
        if line.points:
            _dots(axes, line, number)
    _marks(axes, plot)
    return figure


def _dots(axes: Axes, line: Line, number: int) -> None:
    """All points of a line as one path of small squares: markers would be references, which a page does not keep."""
    pixels = axes.transData.transform(np.column_stack(_thinned(line)))
    corners = pixels[:, None] + DOT * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    vertices = axes.transData.inverted().transform(corners.reshape(-1, 2))
    codes = np.tile([MplPath.MOVETO, *[MplPath.LINETO] * 3, MplPath.CLOSEPOLY], len(pixels))
    patch = PathPatch(MplPath(vertices, codes), facecolor=line.colour, edgecolor="none")
    axes.add_patch(patch).set_gid(f"{LINE_ID}{number}")


def _scale(axes: Axes, plot: Plot) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(INK)
    axes.tick_params(length=0, colors=INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
    axes.grid(color=INK, alpha=0.2, linewidth=0.7, clip_on=False)
    axes.margins(x=0)
    if plot.x_limits:
        axes.set_xlim(plot.x_limits)
    if plot.y_limits:
        axes.set_ylim(plot.y_limits[0], plot.y_limits[1] * (1.6 if plot.log_y else 1))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 10):g}"))
    if plot.x_ticks:
        axes.set_xticks(range(len(plot.x_ticks)), plot.x_ticks)
    if plot.log_y:
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_major_locator(LogLocator(numticks=7))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 10):g}"))
        axes.yaxis.set_minor_locator(NullLocator())


def _marks(axes: Axes, plot: Plot) -> None:
    low, high = axes.get_xlim()
    how: dict[str, Any] = {"color": INK, "linestyle": (0, (2, 3)), "linewidth": 1.0, "clip_on": False}
    for row, (label, value) in enumerate(plot.x_marks.items()):
        if low <= value <= high:
            axes.axvline(value, **how)
            left = value > (low + high) / 2
            axes.annotate(
                label,
                (value, 1),
                (-4 if left else 4, -11 - 12 * row),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right" if left else "left",
                color=INK,
                fontsize=9.5,
            )
    for label, value in plot.y_marks.items():
        axes.axhline(value, **how)
        axes.annotate(
            label,
            (1, value),
            (-2, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            color=INK,
            fontsize=9.5,
        )


def _thinned(line: Line) -> tuple[list[float], list[float]]:
    """The finite points, at most about `MOST_POINTS`, with the last one; a histogram as corners of its outline."""
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    stride = max(1, math.ceil(len(points) / MOST_POINTS))
    points = points[::stride] + (points[-1:] if points and (len(points) - 1) % stride else [])
    if line.steps:
        points = [corner for (x, y), (after, _) in itertools.pairwise(points) for corner in ((x, y), (after, y))]
    return [x for x, _ in points], [y for _, y in points]


def _inline(root: ET.Element, plot: Plot) -> str:
    """The SVG without what a page does not need: namespaces, metadata, ids, empty groups, font names, decimals.

    Ids would occur twice in a page with several plots; those that are kept are hashes of what they name.
    """
    attributes = {"class": "chart", "viewBox": root.attrib["viewBox"], "role": "img", "aria-label": plot.title}
    inline = ET.Element("svg", attributes)
    inline.extend(_flat(root, plot))
    return ET.tostring(inline, encoding="unicode")


def _flat(parent: ET.Element, plot: Plot) -> Iterator[ET.Element]:
    """The elements that are drawn, outside of groups, and clip paths; lines with their labels as titles."""
    for child in parent:
        tag = child.tag.removeprefix(SVG_NAMESPACE)
        name = child.attrib.get("id", "")
        if tag in ("g", "defs"):
            yield from (_titled(each, name, plot) for each in _flat(child, plot))
        elif tag in ("path", "text", "clipPath", "rect"):
            compact = {key: text for key, value in child.attrib.items() if (text := _compact(key, value))}
            element = ET.Element(tag, compact)
            element.text = child.text if tag == "text" else None
            element.extend(_flat(child, plot))
            yield element


def _titled(element: ET.Element, group: str, plot: Plot) -> ET.Element:
    if group.startswith(LINE_ID):
        element.attrib["class"] = "line"
        ET.SubElement(element, "title").text = plot.lines[int(group.removeprefix(LINE_ID))].label
    return element


def _compact(name: str, value: str) -> str:
    if name in ("d", "x", "y", "transform"):
        rounded = re.sub(r"-?\d+\.\d+", lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), value)
        return re.sub(r"rotate\(-0[^)]*\)", "", re.sub(r"\s*([MLz])\s*", r"\1", rounded).strip())
    if name == "style":
        kept = [each for each in value.split("; ") if not each.startswith(DEFAULT_STYLES)]
        return ";".join(kept).replace(": ", ":")
    return value
