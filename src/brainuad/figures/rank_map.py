"""The ranks of models under many choices as a picture: a column for each choice, its levels below."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

INK = "#566071"
COLOURS = "viridis"
"""From dark, the first rank, to light: ordered in brightness, for people with colour blindness too."""
INCH_PER_MODEL, INCH_PER_FACTOR, INCH_WIDE, INCH_AROUND = 0.3, 0.2, 13.0, 1.3


@dataclass(frozen=True)
class Panel:
    """The choices of one metric. `ranks`: NaN where a model has no value; `levels`: number of the level by factor."""

    title: str
    ranks: Float[np.ndarray, "models choices"]
    levels: Mapping[str, Int[np.ndarray, "choices"]]


def png(models: Sequence[str], factors: Sequence[str], panels: Sequence[Panel]) -> bytes:
    """The panels side by side, equally wide. `factors`: rows below the ranks; empty where a metric has no such choice.

    Equal content gives equal bytes.
    """
    rows = INCH_PER_MODEL * len(models), INCH_PER_FACTOR * len(factors)
    figure = Figure((INCH_WIDE, sum(rows) + INCH_AROUND), dpi=144, layout="constrained")
    axes = figure.subplots(2, len(panels), squeeze=False, gridspec_kw={"height_ratios": rows})
    colours = ListedColormap(mpl.colormaps[COLOURS](np.linspace(0.05, 0.95, len(models))))
    scale = ScalarMappable(Normalize(0.5, len(models) + 0.5), colours)
    for column, panel in enumerate(panels):
        top, below = axes[:, column]
        top.imshow(panel.ranks, aspect="auto", interpolation="nearest", cmap=scale.cmap, norm=scale.norm)
        top.set_title(panel.title, fontsize=10, color=INK)
        _rows(top, models, labelled=column == 0)
        _levels(below, factors, panel)
        _rows(below, factors, labelled=column == 0)
    bar = figure.colorbar(scale, ax=axes[0].tolist(), ticks=range(1, len(models) + 1), pad=0.01)
    bar.set_label("rank", color=INK)
    bar.outline.set_visible(False)
    bar.ax.invert_yaxis()
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _levels(axes: Axes, factors: Sequence[str], panel: Panel) -> None:
    shades = np.full((len(factors), panel.ranks.shape[1]), np.nan)
    for row, factor in enumerate(factors):
        if (levels := panel.levels.get(factor)) is not None and levels.max(initial=0) > 0:
            shades[row] = 0.15 + 0.6 * levels / levels.max()
    axes.imshow(shades, aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1)


def _rows(axes: Axes, names: Sequence[str], labelled: bool) -> None:
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), names if labelled else [""] * len(names), fontsize=9, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in range(1, len(names)):
        axes.axhline(edge - 0.5, color="white", linewidth=1)
