"""Critical-difference picture (Demšar 2006) with a row per model: average ranks, and bars along those that are open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup, escape

ROW, TOP, GAP, WIDTH = 19, 26, 9, 560
"""In units of the SVG: height of a row, the axis above, between bars, width of the picture."""
LETTER, AXIS = 7.2, 250
"""Width of a letter; of the axis of ranks."""
DOT, BAR = "#0072b2", "#7a8391"


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


def rank_picture(title: str, ranks: Mapping[str, float], runs: Sequence[tuple[int, int]]) -> Markup:
    """As SVG. `ranks`: average rank by model, best first; `runs`: of `open_runs`."""
    left = min(max(len(model) for model in ranks), 40) * LETTER + 12
    width = max(WIDTH, left + AXIS + 30 + GAP * len(runs))
    most, rows = max(len(ranks), 2), list(ranks.items())

    def x(rank: float) -> float:
        return left + (rank - 1) / (most - 1) * AXIS

    parts = []
    for rank in sorted({1, most, *range(5, most, 5)}):
        parts.append(_line(x(rank), TOP - 6, x(rank), TOP + ROW * len(rows), BAR, 0.3))
        parts.append(f'<text x="{x(rank):.1f}" y="{TOP - 10}" text-anchor="middle">{rank}</text>')
    for place, (model, rank) in enumerate(rows):
        y = TOP + ROW * (place + 0.5)
        parts.append(f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(model)}</text>')
        about = f"<title>{escape(model)}: average rank {rank:.2f}</title>"
        parts.append(f'<circle cx="{x(rank):.1f}" cy="{y:.1f}" r="4.5" fill="{DOT}">{about}</circle>')
    for column, (first, last) in enumerate(runs):
        at = left + AXIS + 20 + GAP * column
        parts.append(_line(at, TOP + ROW * first + 4, at, TOP + ROW * (last + 1) - 4, BAR, 4))
    head = f'<svg class="chart" viewBox="0 0 {width:.0f} {TOP + ROW * len(rows) + 6}" role="img"'
    return Markup(f'{head} aria-label="{escape(title)}">{"".join(parts)}</svg>')  # noqa: S704


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'
