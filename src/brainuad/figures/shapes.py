"""Shapes of the SVG pictures that no plot of lines is."""

from __future__ import annotations

from markupsafe import Markup, escape

GREY, BLUE, GREEN, ORANGE = "#7a8391", "#0072b2", "#009e73", "#d55e00"
LETTER = 7.2
"""Width of a letter, in units of the SVG."""
LONGEST = 40


def label_width(labels: list[str]) -> float:
    """Room for the longest of some labels."""
    return min(max(map(len, labels)), LONGEST) * LETTER + 12


def line(start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> str:
    """A stroke between two points."""
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def text(place: tuple[float, float], words: str, anchor: str = "start") -> str:
    """`anchor`: start, middle or end."""
    return f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def dot(place: tuple[float, float], radius: float, colour: str, about: str, attributes: str = "") -> str:
    """A disc with a tooltip."""
    where = f'cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius:g}" fill="{colour}"'
    return f"<circle {where}{attributes}><title>{escape(about)}</title></circle>"


def picture(size: tuple[float, float], title: str, parts: list[str]) -> Markup:
    """The SVG. `title`: its accessible name."""
    head = f'<svg class="chart" viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")  # noqa: S704
