"""Line charts as inline SVG: no library, no script, readable in print."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#5b3a8e", "#7f2a2a")
"""Told apart by people with colour-blindness (after Okabe and Ito 2008); dashes tell the rest."""
DASHES = ("", "6 3", "2 3", "8 3 2 3")
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 40
MOST_POINTS = 240


@dataclass(frozen=True)
class Line:
    """A curve. `steps`: drawn as a histogram's outline."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    dash: str = ""
    width: float = 1.8
    steps: bool = False


@dataclass(frozen=True)
class Chart:
    """What is drawn, within which limits. `marks`: labelled vertical lines; `level`: a labelled horizontal one."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    log_y: bool = False
    marks: dict[str, float] = field(default_factory=dict)
    level: tuple[str, float] | None = None
    size: tuple[int, int] = (420, 300)


def style(index: int) -> tuple[str, str]:
    """Colour and dash of the n-th model."""
    return PALETTE[index % len(PALETTE)], DASHES[index // len(PALETTE) % len(DASHES)]


def svg(chart: Chart) -> Markup:
    """The chart; its title is read out by screen readers, and every curve names itself under the pointer."""
    frame = _Frame(chart)
    width, height = chart.size
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(chart.title)}">',
        *_axes(chart, frame),
        *_guides(chart, frame),
    ]
    for line in chart.lines:
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        shape = f'fill="none" stroke="{line.colour}" stroke-width="{line.width}"{dash}'
        parts.append(
            f'<polyline points="{_points(line, frame)}" {shape}><title>{escape(line.label)}</title></polyline>'
        )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def legend(lines: Sequence[Line]) -> Markup:
    """Names beside their strokes, each once."""
    rows = []
    for label, line in {line.label: line for line in lines}.items():
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        stroke = f'<line x1="0" y1="6" x2="26" y2="6" stroke="{line.colour}" stroke-width="2.5"{dash}/>'
        rows.append(f'<span><svg width="26" height="12" aria-hidden="true">{stroke}</svg> {escape(label)}</span>')
    return Markup(f'<p class="legend">{"".join(rows)}</p>')  # noqa: S704


class _Frame:
    """From numbers to pixels."""

    def __init__(self, chart: Chart):
        self.log = chart.log_y
        xs = [v for line in chart.lines for v in line.x if math.isfinite(v)] or [0.0, 1.0]
        ys = [v for line in chart.lines for v in line.y if math.isfinite(v) and (v > 0 or not self.log)] or [0.1, 1.0]
        self.x = _widened(chart.x_limits or (min(xs), max(xs)))
        low, high = chart.y_limits or (min(ys), max(ys))
        self.y = (math.log10(low), math.log10(high * 1.6)) if self.log else _widened((low, high))
        width, height = chart.size
        self.right, self.bottom = width - RIGHT, height - BOTTOM

    def across(self, value: float) -> float:
        share = (min(max(value, self.x[0]), self.x[1]) - self.x[0]) / (self.x[1] - self.x[0])
        return LEFT + share * (self.right - LEFT)

    def down(self, value: float) -> float:
        low, high = self.y
        if self.log:
            value = math.log10(value) if value > 0 else low
        share = (min(max(value, low), high) - low) / (high - low)
        return self.bottom - share * (self.bottom - TOP)


def _axes(chart: Chart, frame: _Frame) -> list[str]:
    height, parts = chart.size[1], []
    for value in _ticks(*frame.x):
        at = frame.across(value)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{frame.bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{frame.bottom + 15}" text-anchor="middle">{value:g}</text>')
    exponents = range(math.ceil(frame.y[0]), math.floor(frame.y[1]) + 1)
    for value in [10.0**e for e in exponents] if frame.log else _ticks(*frame.y):
        at = frame.down(value)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{frame.right}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    middle = (TOP + frame.bottom) / 2
    parts.append(
        f'<text x="{(LEFT + frame.right) / 2}" y="{height - 6}" text-anchor="middle">{escape(chart.x_label)}</text>'
    )
    turned = f'transform="translate(13 {middle}) rotate(-90)" text-anchor="middle"'
    return [*parts, f"<text {turned}>{escape(chart.y_label)}</text>"]


def _guides(chart: Chart, frame: _Frame) -> list[str]:
    parts = []
    for row, (label, value) in enumerate(chart.marks.items()):
        if frame.x[0] <= value <= frame.x[1]:
            at = frame.across(value)
            parts.append(f'<path class="mark" d="M{at:.1f} {TOP}V{frame.bottom}"><title>{escape(label)}</title></path>')
            end = at > (LEFT + frame.right) / 2
            side = f'x="{at - 4 if end else at + 4:.1f}" text-anchor="{"end" if end else "start"}"'
            parts.append(f'<text {side} y="{TOP + 11 + 12 * row}" class="marked">{escape(label)}</text>')
    if chart.level:
        label, value = chart.level
        at = frame.down(value)
        parts.append(f'<path class="mark" d="M{LEFT} {at:.1f}H{frame.right}"/>')
        parts.append(
            f'<text x="{frame.right - 2}" y="{at - 4:.1f}" text-anchor="end" class="marked">{escape(label)}</text>'
        )
    return parts


def _points(line: Line, frame: _Frame) -> str:
    pairs = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    stride = max(1, math.ceil(len(pairs) / MOST_POINTS))
    pairs = pairs[::stride] + (pairs[-1:] if pairs and (len(pairs) - 1) % stride else [])
    if line.steps:
        pairs = [corner for (x, y), (after, _) in itertools.pairwise(pairs) for corner in ((x, y), (after, y))]
    return " ".join(f"{frame.across(x):.1f},{frame.down(y):.1f}" for x, y in pairs)


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return limits if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between the ends."""
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]
