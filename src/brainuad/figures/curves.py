"""The figures of a study: precision and recall, losses, histograms of anomaly maps, residuals of scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from brainuad.figures.plot import INK, Line, Plot, style

TISSUES = {
    "healthy": ("healthy scans", "#009e73"),
    "normal": ("normal tissue of patients", "#7a8391"),
    "lesion": ("lesions", "#d55e00"),
}
"""Histograms in `curves.tsv`: label and colour."""
TRAINING, VALIDATION = ("#0072b2", ()), ("#d55e00", (5.0, 3.0))
"""Colour and dashes of the two kinds of loss."""
LARGE, SMALL = (520, 360), (340, 220)
RESIDUAL_BINS = 20
SIZES = ("under 1 ml", "1 to 10 ml", "10 ml or more")
"""Of lesions, as metrics by size have them."""
FIRST_RECALL = 0.02
"""Precision at lower recall rests on a few voxels and does not decide how far the axis reaches."""


def precision_recall(title: str, lines: Sequence[Line], chance: float | None = None) -> Plot:
    """Precision by recall of voxels. `chance`: precision of a random map.

    The axis of precision ends at 0.1, 0.2, 0.5 or 1, at the first that all lines stay below from a recall of 0.02 on.
    """
    seen = [y for line in lines for x, y in zip(line.x, line.y, strict=True) if x >= FIRST_RECALL and np.isfinite(y)]
    highest = max(seen, default=1.0)
    top = next(end for end in (0.1, 0.2, 0.5, 1.0) if highest <= end * 0.95 or end == 1.0)
    marks = {} if chance is None else {"chance": chance}
    return Plot(title, "recall", "precision", lines, (0.0, 1.0), (0.0, top), y_marks=marks, size=LARGE)


def roc(title: str, lines: Sequence[Line]) -> Plot:
    """Sensitivity by 1 - specificity of whole scans."""
    return Plot(title, "1 - specificity", "sensitivity", lines, (0.0, 1.0), (0.0, 1.0), size=LARGE)


def recall_by_size(title: str, lines: Sequence[Line]) -> Plot:
    """Share of the lesions that are detected, for each of `SIZES`, whose numbers are the x of the lines."""
    limits = (-0.2, len(SIZES) - 0.8)
    return Plot(title, "volume of the lesion", "lesion recall", lines, limits, (0.0, 1.0), size=LARGE, x_ticks=SIZES)


def calibration(title: str, lines: Sequence[Line]) -> Plot:
    """Realised by nominal rate of false positives, in percent of scored voxels, and the diagonal where they agree."""
    highest = 1.1 * max((x for line in lines for x in line.x), default=1.0)
    diagonal = Line("as nominal", (0.0, highest), (0.0, highest), INK, (2.0, 3.0))
    top = max(highest, *(1.1 * y for line in lines for y in line.y))
    words = "nominal false positives, %", "realised false positives, %"
    return Plot(title, *words, [diagonal, *lines], (0.0, highest), (0.0, top), size=LARGE)


def froc(title: str, lines: Sequence[Line]) -> Plot:
    """Lesion recall by false-positive volume per scan, up to 16 ml."""
    return Plot(title, "false positives per scan, ml", "lesion recall", lines, (0.0, 16.0), (0.0, 1.0), size=LARGE)


def agreement(title: str, lines: Sequence[Line]) -> Plot:
    """Predicted minus true volume by the mean of both, in ml, a point for each scan (Bland and Altman 1986)."""
    highest = max((x for line in lines for x in line.x), default=1.0)
    marks = {"equal": 0.0}
    return Plot(
        title, "mean of both, ml", "predicted minus true, ml", lines, (0.0, highest * 1.05), y_marks=marks, size=LARGE
    )


def losses(title: str, curves: pd.DataFrame) -> Plot | None:
    """Losses by step; None without any. `curves`: name, step, value and, for several runs, seed.

    Only the curves with `loss` in their name are drawn. Losses that span more than a factor of 20 have a log axis.
    """
    chosen = curves[curves["name"].astype(str).str.contains("loss")] if len(curves) else curves
    if chosen.empty:
        return None
    keys = ["name", "seed"] if "seed" in chosen else ["name"]
    lines = []
    for key, rows in chosen.groupby(keys, sort=False):
        name, *seed = map(str, key)
        label = ", seed ".join([name, *seed])
        lines.append(Line(label, tuple(rows["step"]), tuple(rows["value"]), *loss_style(name)))
    positive = chosen["value"][chosen["value"] > 0]
    log = len(positive) == len(chosen) and float(positive.max()) > 20 * float(positive.min())
    span = (float(positive.min()), float(positive.max())) if log else None
    return Plot(title, "step", "loss", lines, None, span, log, size=SMALL)


def loss_style(name: str) -> tuple[str, tuple[float, ...]]:
    """Colour and dashes of a loss by its name."""
    return VALIDATION if "val" in name else TRAINING


def map_histogram(title: str, rows: pd.DataFrame, thresholds: Mapping[str, float]) -> Plot:
    """Density of the values of an anomaly map, for each of `TISSUES`, on a log axis.

    `rows`: curve, x, y as in `curves.tsv`; `thresholds`: drawn as vertical lines, by label.
    """
    lines = [
        Line(label, tuple(group["x"]), tuple(group["y"]), colour, steps=True)
        for tissue, (label, colour) in TISSUES.items()
        if len(group := rows[rows["curve"] == tissue])
    ]
    highest = float(rows["y"].max()) or 1.0
    lowest = max(highest / 1e4, float(rows["y"][rows["y"] > 0].min())) if (rows["y"] > 0).any() else highest / 1e4
    return Plot(title, "value of the map", "density", lines, None, (lowest, highest), True, thresholds, size=SMALL)


def residual_histogram(title: str, residuals: Mapping[str, tuple[Float[np.ndarray, "n"], int]]) -> Plot:
    """Share of the scans of each data set by the root mean square of their residual (after Kuznetsov's fig. 6).

    `residuals`: by data set, the values and the number of its line's style.
    """
    values = np.concatenate([each for each, _ in residuals.values()])
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high if high > low else low + 1, RESIDUAL_BINS + 1)
    lines = []
    for label, (each, number) in residuals.items():
        colour, dash = style(number)
        shares = np.histogram(each, edges)[0] / each.size
        lines.append(Line(label, tuple(edges[:-1]), tuple(shares), colour, dash, steps=True))
    highest = max(max(line.y) for line in lines)
    label = "root mean square of scan minus reconstruction"
    return Plot(title, label, "share of scans", lines, None, (0.0, highest), size=SMALL)
