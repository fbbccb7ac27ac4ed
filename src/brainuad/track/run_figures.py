"""The figures of a run in MLflow, as PNG."""

from __future__ import annotations

import pandas as pd

from brainuad.figures import curves as figures
from brainuad.figures.plot import Line, png, style


def loss(curves: pd.DataFrame) -> bytes | None:
    """The losses of the training by step; None without any. `curves`: step, name, value."""
    plot = figures.losses("training", curves)
    return None if plot is None else png(plot)


def precision_recall(curves: pd.DataFrame) -> bytes | None:
    """A precision-recall curve of voxels per data set and postprocessing; None without any. `curves`: `curves.tsv`."""
    chosen = curves[curves["curve"] == "pr"]
    if chosen.empty:
        return None
    lines: list[Line] = []
    for (dataset, postprocessing), rows in chosen.groupby(["dataset", "postprocessing"]):
        line_style = style(len(lines))
        lines.append(Line(f"{dataset}, {postprocessing}", tuple(rows["x"]), tuple(rows["y"]), *line_style))
    return png(figures.precision_recall("voxels", lines))
