"""The charts of a report, from the tables of a study."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from brainuad.config.study import Study
from brainuad.report.charts import Chart, Line, legend, style, svg
from brainuad.report.headline import baselines

HISTOGRAMS = {"healthy": "#009e73", "normal": "#6b7280", "lesion": "#d55e00"}
NAMES = {"healthy": "healthy scans", "normal": "normal tissue of patients", "lesion": "lesions"}
SMALL = (340, 220)


def precision_recall(study: Study, curves: pd.DataFrame) -> dict[str, Markup]:
    """A chart per data set; the study's first chain, one curve per model and seed."""
    chosen = curves[(curves["kind"] == "pr") & (curves["chain"] == next(iter(study.chains)))]
    charts = {}
    for dataset, rows in chosen.groupby("dataset", sort=False):
        lines = [
            _line(study, str(model), group)
            for (model, _), group in rows.groupby(["model", "seed"], sort=False)
            if model in study.models
        ]
        chance = ("chance", float(rows[rows["x"] >= 0.999]["y"].min())) if (rows["x"] >= 0.999).any() else None
        title = f"Precision and recall of voxels on {dataset}"
        limits = (0.0, 1.0)
        chart = Chart(title, "recall", "precision", lines, limits, limits, level=chance, size=(520, 360))
        charts[str(dataset)] = svg(chart) + legend(lines)
    return charts


def histograms(
    study: Study, curves: pd.DataFrame, cuts: dict[tuple[str, str, str], dict[str, float]]
) -> dict[str, dict[str, Markup]]:
    """Charts by data set and model, with the cuts as vertical lines; the study's first seed and chain."""
    chain, seed = next(iter(study.chains)), study.seeds[0]
    chosen = curves[(curves["chain"] == chain) & (curves["seed"] == seed) & curves["kind"].isin(list(HISTOGRAMS))]
    charts: dict[str, dict[str, Markup]] = {}
    for (dataset, model), rows in chosen.groupby(["dataset", "model"], sort=False):
        lines = [
            Line(NAMES[str(kind)], tuple(group["x"]), tuple(group["y"]), HISTOGRAMS[str(kind)], steps=True)
            for kind, group in rows.groupby("kind", sort=False)
        ]
        marks = {rule.replace("_", " "): cut for rule, cut in cuts.get((str(model), chain, str(dataset)), {}).items()}
        lowest = max(1e-5, float(rows["y"][rows["y"] > 0].min())) if (rows["y"] > 0).any() else 1e-5
        title = f"Values of the map of {model} on {dataset}"
        span = (lowest, 1.0)
        chart = Chart(title, "value of the map", "share of voxels", lines, None, span, True, marks, size=SMALL)
        charts.setdefault(str(dataset), {})[str(model)] = svg(chart)
    return charts


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
