"""Small figures for a run's page in MLflow."""

from __future__ import annotations

import io

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SIZE = (5.0, 3.6)


def loss(curves: pd.DataFrame) -> bytes | None:
    """PNG of the curves that have `loss` in their name, or None."""
    chosen = curves[curves["name"].str.contains("loss")] if len(curves) else curves
    if chosen.empty:
        return None
    figure = Figure(SIZE, layout="constrained")
    axes = figure.add_subplot(xlabel="step", title="training")
    for name, rows in chosen.groupby("name"):
        axes.plot(rows["step"], rows["value"], label=str(name))
    axes.legend(frameon=False)
    return _png(figure)


def precision_recall(curves: pd.DataFrame) -> bytes | None:
    """PNG with a precision-recall curve per data set and chain, or None."""
    chosen = curves[curves["curve"] == "pr"]
    if chosen.empty:
        return None
    figure = Figure(SIZE, layout="constrained")
    axes = figure.add_subplot(xlabel="recall", ylabel="precision", title="voxels", xlim=(0, 1), ylim=(0, 1))
    for (dataset, postprocessing), rows in chosen.groupby(["dataset", "postprocessing"]):
        axes.plot(rows["x"], rows["y"], label=f"{dataset}, {postprocessing}")
    axes.legend(frameon=False)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
