"""The charts of a report, from the tables of a study."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from markupsafe import Markup

from brainuad.config.study import Study
from brainuad.report.charts import Chart, Line, legend, style, svg
from brainuad.report.headline import baselines

HISTOGRAMS = {"healthy": "#009e73", "normal": "#6b7280", "lesion": "#d55e00"}
NAMES = {"healthy": "healthy scans", "normal": "normal tissue of patients", "lesion": "lesions"}
SMALL = (340, 220)
RESIDUAL_BINS = 20


def precision_recall(study: Study, curves: pd.DataFrame) -> dict[str, Markup]:
    """A chart per data set; the study's first chain, one curve per model and seed."""
    chosen = curves[(curves["curve"] == "pr") & (curves["postprocessing"] == next(iter(study.postprocessing)))]
    charts = {}
    for dataset, rows in chosen.groupby("dataset", sort=False):
        lines = [
            _line(study, str(model), group)
            for (model, _), group in rows.groupby(["model", "seed"], sort=False)
            if model in study.models
        ]
        chance = ("chance", float(rows[rows["x"] >= 0.999]["y"].min())) if (rows["x"] >= 0.999).any() else None
        title = f"Precision and recall of voxels on {dataset}"
        chart = Chart(title, "recall", "precision", lines, (0.0, 1.0), _precisions(rows), level=chance, size=(520, 360))
        charts[str(dataset)] = svg(chart) + legend(lines)
    return charts


def _precisions(rows: pd.DataFrame) -> tuple[float, float]:
    """The whole scale, or its lower part where all curves stay there; the first points, a few voxels each, aside."""
    highest = float(rows["y"][rows["x"] >= 0.02].max())
    return 0.0, next(top for top in (0.1, 0.2, 0.5, 1.0) if highest <= top * 0.95 or top == 1.0)


def histograms(
    study: Study, curves: pd.DataFrame, cuts: dict[tuple[str, str, str], dict[str, float]]
) -> dict[str, dict[str, Markup]]:
    """Charts by data set and model, with the cuts as vertical lines; the study's first seed and chain."""
    postprocessing, seed = next(iter(study.postprocessing)), study.seeds[0]
    chosen = curves[
        (curves["postprocessing"] == postprocessing) & (curves["seed"] == seed) & curves["curve"].isin(list(HISTOGRAMS))
    ]
    healthy = healthy_set(study, chosen)
    shown = [name for name in chosen["dataset"].unique() if not study.datasets[name].healthy] or [healthy]
    charts: dict[str, dict[str, Markup]] = {}
    for dataset in shown if len(chosen) else []:
        for model in study.models:
            rows = chosen[(chosen["model"] == model) & chosen["dataset"].isin([dataset, healthy])]
            if (rows["dataset"] == dataset).any():
                found = cuts.get((model, postprocessing, dataset), {})
                charts.setdefault(dataset, {})[model] = _histogram(
                    f"Values of the map of {model} on {dataset}", rows, found
                )
    return charts


def residuals(study: Study, scans: pd.DataFrame) -> dict[str, Markup]:
    """A chart per model with a reconstruction: how far from it the scans of each data set lie (Kuznetsov's fig. 6)."""
    chosen = scans[(scans["postprocessing"] == next(iter(study.postprocessing))) & (scans["seed"] == study.seeds[0])]
    charts = {}
    for model in dict.fromkeys(study.trainings().values()):  # other maps rebuild alike
        rows = chosen[(chosen["model"] == model) & chosen["residual_rms"].notna()]
        if len(rows):
            ends = float(rows["residual_rms"].min()), float(rows["residual_rms"].max())
            at = np.linspace(ends[0], ends[1] if ends[1] > ends[0] else ends[0] + 1, RESIDUAL_BINS + 1)
            lines = [
                _shares(study, str(dataset), group["residual_rms"].to_numpy(dtype=float), at)
                for dataset, group in rows.groupby("dataset", sort=False)
            ]
            title, label = f"Residuals of {model} by scan", "root mean square of scan minus reconstruction"
            highest = max(max(line.y) for line in lines)
            charts[model] = svg(
                Chart(title, label, "share of scans", lines, None, (0.0, highest), size=SMALL)
            ) + legend(lines)
    return charts


def _shares(study: Study, dataset: str, values: Float[np.ndarray, "n"], at: Float[np.ndarray, "m"]) -> Line:
    colour, dash = style(study.scored_sets().index(dataset))
    found = np.histogram(values, at)[0] / values.size
    return Line(dataset, tuple(at[:-1]), tuple(found), colour, dash, steps=True)


def healthy_set(study: Study, curves: pd.DataFrame) -> str:
    """The first healthy data set with a histogram, against which the others are drawn; empty if there is none."""
    return next(
        (name for name in study.scored_sets() if name in set(curves[curves["curve"] == "healthy"]["dataset"])), ""
    )


def _histogram(title: str, rows: pd.DataFrame, cuts: dict[str, float]) -> Markup:
    lines = [
        Line(NAMES[kind], tuple(group["x"]), tuple(group["y"]), colour, steps=True)
        for kind, colour in HISTOGRAMS.items()
        if len(group := rows[rows["curve"] == kind])
    ]
    highest = float(rows["y"].max()) or 1.0
    lowest = max(highest / 1e4, float(rows["y"][rows["y"] > 0].min())) if (rows["y"] > 0).any() else highest / 1e4
    marks = {rule.replace("_", " "): cut for rule, cut in cuts.items()}
    return svg(Chart(title, "value of the map", "density", lines, None, (lowest, highest), True, marks, size=SMALL))


def histogram_legend() -> Markup:
    """Names of the histograms' colours."""
    return legend([Line(NAMES[kind], (), (), colour) for kind, colour in HISTOGRAMS.items()])


def training(curves: pd.DataFrame) -> dict[str, Markup]:
    """A chart of the losses per model: solid for training, dashed for validation, a line per seed."""
    losses = curves[curves["name"].astype(str).str.contains("loss")] if len(curves) else curves
    charts = {}
    for model, rows in losses.groupby("model", sort=False):
        lines = [
            Line(f"{name}, seed {seed}", tuple(group["step"]), tuple(group["value"]), *_loss_style(str(name)))
            for (name, seed), group in rows.groupby(["name", "seed"], sort=False)
        ]
        positive = rows["value"][rows["value"] > 0]
        wide = len(positive) == len(rows) and float(positive.max()) > 20 * float(positive.min())
        span = (float(positive.min()), float(positive.max())) if wide else None
        chart = Chart(f"Losses of {model}", "step", "loss", lines, None, span, wide, size=SMALL)
        charts[str(model)] = svg(chart)
    return charts


def training_legend() -> Markup:
    """Names of the losses' strokes."""
    return legend(
        [Line("training", (), (), *_loss_style("loss")), Line("validation", (), (), *_loss_style("val_loss"))]
    )


def _line(study: Study, model: str, rows: pd.DataFrame) -> Line:
    colour, _ = style(list(study.models).index(model))
    trivial = model in baselines(study)
    ordered = rows.sort_values("x", kind="stable")
    label = f"{model} (baseline)" if trivial else model
    return Line(label, tuple(ordered["x"]), tuple(ordered["y"]), colour, "6 3" if trivial else "", 1.8)


def _loss_style(name: str) -> tuple[str, str]:
    return ("#d55e00", "5 3") if "val" in name else ("#0072b2", "")
