"""The plots and pictures of a report, from the tables of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from brainuad.config.study import Study
from brainuad.figures import curves as figures
from brainuad.figures.patients import Interval, ModelRow, patient_picture
from brainuad.figures.plot import Line, Plot, legend, style
from brainuad.figures.ranks import open_runs, rank_picture
from brainuad.figures.shapes import Picture
from brainuad.formats.verdicts import Comparisons
from brainuad.metrics.evidence import LESION_SIZES
from brainuad.report.baselines import BaselineComparison
from brainuad.report.realised import Realised
from brainuad.report.recalls import recalls

ShownSeeds = Mapping[tuple[str, str], int]
"""The seed that is shown, by model and data set."""
VOLUMES = "predicted_ml", "lesion_ml"
BASELINE_DASH = (6.0, 3.0)


def precision_recall(study: Study, curves: pd.DataFrame) -> dict[str, Plot]:
    """A plot per data set, after the study's first postprocessing: one curve per model and seed."""
    plots = {}
    for dataset, rows, lines in _curves(study, curves, "pr"):
        complete = rows["x"] >= rows["x"].max() - 0.001  # lesion outside the scored brain is never found
        chance = float(rows[complete]["y"].min())
        plot = figures.precision_recall(f"Precision and recall of voxels on {dataset}", lines, chance)
        plots[dataset] = plot
    return plots


def froc(study: Study, curves: pd.DataFrame) -> dict[str, Plot]:
    """A plot per data set, after the study's first postprocessing: one curve per model and seed."""
    return {
        dataset: figures.froc(f"Lesion recall and false positives on {dataset}", lines)
        for dataset, _, lines in _curves(study, curves, "froc_ml")
    }


def roc(study: Study, curves: pd.DataFrame) -> dict[str, Plot]:
    """A plot per data set with abnormal scans and healthy ones to compare them with."""
    return {
        dataset: figures.roc(f"Sensitivity and specificity of whole scans on {dataset}", lines)
        for dataset, _, lines in _curves(study, curves, "roc_scan")
    }


def recall_by_size(study: Study, metrics: pd.DataFrame) -> dict[str, Plot]:
    """A plot per data set, after the study's first postprocessing and threshold rule: means over seeds."""
    lines: dict[str, list[Line]] = {}
    found = recalls(study, metrics)
    for dataset in dict.fromkeys(dataset for dataset, _ in found):
        for model in study.models:
            if of_model := found.get((dataset, model)):
                shares = [of_model.sizes.get(size, float("nan")) for size in LESION_SIZES]
                points = pd.DataFrame({"x": range(len(shares)), "y": shares})
                lines.setdefault(dataset, []).append(_line(study, model, points))
    return {
        dataset: figures.recall_by_size(f"Lesion recall by size on {dataset}", each) for dataset, each in lines.items()
    }


def calibration(study: Study, rows: Sequence[Realised]) -> dict[str, Plot]:
    """A plot per data set with healthy test scans, after the study's first postprocessing: means over seeds.

    A point for each model and each threshold rule that aims at a rate.
    """
    first = next(iter(study.postprocessing))
    aimed = [row for row in rows if row.postprocessing == first and row.nominal_fpr > 0]
    plots = {}
    for dataset in dict.fromkeys(row.dataset for row in aimed):
        lines = []
        for model in study.models:
            pairs = [
                (row.nominal_fpr, row.healthy_fpr) for row in aimed if (row.dataset, row.model) == (dataset, model)
            ]
            if pairs:
                line = _line(study, model, 100 * pd.DataFrame(pairs, columns=["x", "y"]))
                lines.append(replace(line, points=True))
        plots[dataset] = figures.calibration(f"Realised and nominal false positives on {dataset}", lines)
    return plots


def _curves(study: Study, curves: pd.DataFrame, name: str) -> Iterator[tuple[str, pd.DataFrame, list[Line]]]:
    """By data set: the rows of one kind of curve after the study's first postprocessing, and the lines they make."""
    chosen = curves[(curves["curve"] == name) & (curves["postprocessing"] == next(iter(study.postprocessing)))]
    for dataset, rows in chosen.groupby("dataset", sort=False):
        of_models = rows.groupby(["model", "seed"], sort=False)
        yield (
            str(dataset),
            rows,
            [_line(study, str(model), each) for (model, _), each in of_models if model in study.models],
        )


def agreement(study: Study, scans: pd.DataFrame, seeds: ShownSeeds) -> dict[str, Plot]:
    """A plot per data set with lesions, of the seeds that are shown and of the study's first postprocessing."""
    chosen = _of_seeds(scans[scans["postprocessing"] == next(iter(study.postprocessing))], seeds)
    chosen = chosen[(chosen["lesion_ml"] > 0) & chosen["predicted_ml"].notna()]
    plots = {}
    for dataset, rows in chosen.groupby("dataset", sort=False):
        lines = []
        for number, model in enumerate(study.models):
            predicted, true = (rows.loc[rows["model"] == model, name].astype(float) for name in VOLUMES)
            mean, difference = (predicted + true) / 2, predicted - true
            lines.append(Line(model, tuple(mean), tuple(difference), style(number)[0], points=True))
        plot = figures.agreement(f"Predicted and true volume of lesions on {dataset}", lines)
        plots[str(dataset)] = plot
    return plots


def ranks(study: Study, scans: pd.DataFrame, comparisons: Comparisons) -> dict[str, Picture]:
    """A picture per data set with three models or more: average ranks over patients by AUPRC, and what is open.

    After the study's first postprocessing; patients count that all models have.
    """
    first = next(iter(study.postprocessing))
    chosen = scans[(scans["postprocessing"] == first) & scans["auprc"].notna()]
    pictures = {}
    for dataset, rows in chosen.groupby("dataset", sort=False):
        values = rows.pivot_table(index="subject", columns="model", values="auprc", aggfunc="mean").dropna()
        average = values.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
        if len(average) < 3 or not len(values):
            continue

        def decided(model: str, other: str, dataset: str = str(dataset)) -> bool:
            found = comparisons.between(dataset, first, model, other)
            return found is not None and not found.open

        runs = open_runs(list(average.index), decided)
        pictures[str(dataset)] = rank_picture(
            f"Average ranks of models on {dataset}", {str(model): float(rank) for model, rank in average.items()}, runs
        )
    return pictures


def patients(study: Study, scans: pd.DataFrame, compared: Sequence[BaselineComparison]) -> dict[str, Picture]:
    """A picture per data set with lesions: AUPRC of each patient, and its difference from the best trivial baseline.

    After the study's first postprocessing; a patient's number is the mean over scans and seeds.
    """
    first = scans[(scans["postprocessing"] == next(iter(study.postprocessing))) & scans["auprc"].notna()]
    pictures = {}
    for found in compared:
        rows = first[first["dataset"] == found.dataset]
        values = rows.pivot_table(index="subject", columns="model", values="auprc", aggfunc="mean")
        drawn = [
            ModelRow(
                model,
                _by_patient(values[model]),
                Interval(number.value, number.low, number.high),
                *_differences(values, model, found),
            )
            for model, number in found.numbers.items()
            if model in values
        ]
        title = f"AUPRC of each patient of {found.dataset}"
        pictures[found.dataset] = patient_picture(title, drawn, found.baseline)
    return pictures


def _differences(
    values: pd.DataFrame, model: str, found: BaselineComparison
) -> tuple[dict[str, float], Interval | None]:
    """Of a learned model from the best baseline, by patient, and their mean."""
    comparison = found.comparisons.get(model)
    if comparison is None or found.baseline not in values:
        return {}, None
    interval = Interval(comparison.difference, comparison.low, comparison.high, comparison.verdict)
    return _by_patient(values[model] - values[found.baseline]), interval


def _by_patient(values: pd.Series) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.dropna().items()}


def histograms(
    study: Study,
    curves: pd.DataFrame,
    thresholds: Mapping[tuple[str, str, str], Mapping[str, float]],
    seeds: ShownSeeds,
) -> dict[str, dict[str, Plot]]:
    """Plots by data set and model, of the seeds that are shown and of the study's first postprocessing.

    `thresholds`: values by rule, by model, postprocessing and data set; drawn as vertical lines.
    """
    postprocessing = next(iter(study.postprocessing))
    tissues = (curves["postprocessing"] == postprocessing) & curves["curve"].isin(list(figures.TISSUES))
    chosen = _of_seeds(curves[tissues], seeds)
    healthy = healthy_set(study, chosen)
    shown = [name for name in chosen["dataset"].unique() if not study.datasets[name].healthy] or [healthy]
    plots: dict[str, dict[str, Plot]] = {}
    for dataset in shown if len(chosen) else []:
        for model in study.models:
            rows = chosen[(chosen["model"] == model) & chosen["dataset"].isin([dataset, healthy])]
            if (rows["dataset"] == dataset).any():
                marks = thresholds.get((model, postprocessing, dataset), {})
                labelled = {rule.replace("_", " "): value for rule, value in marks.items()}
                plot = figures.map_histogram(f"Values of the map of {model} on {dataset}", rows, labelled)
                plots.setdefault(dataset, {})[model] = plot
    return plots


def histogram_legend() -> Markup:
    """The legend of all histograms."""
    return legend([Line(label, (), (), colour) for label, colour in figures.TISSUES.values()])


def residuals(study: Study, scans: pd.DataFrame, seeds: ShownSeeds) -> dict[str, Plot]:
    """A plot per trained model with a reconstruction; other maps of one training have the same reconstruction."""
    chosen = _of_seeds(scans[scans["postprocessing"] == next(iter(study.postprocessing))], seeds)
    plots = {}
    for model in dict.fromkeys(study.trainings().values()):
        rows = chosen[(chosen["model"] == model) & chosen["residual_rms"].notna()]
        values = {
            str(dataset): (group["residual_rms"].to_numpy(dtype=float), study.scored_sets().index(str(dataset)))
            for dataset, group in rows.groupby("dataset", sort=False)
        }
        if values:
            plot = figures.residual_histogram(f"Residuals of {model} by scan", values)
            plots[model] = plot
    return plots


def healthy_set(study: Study, curves: pd.DataFrame) -> str:
    """The first healthy data set with a histogram, drawn beside the others; empty if there is none."""
    healthy = set(curves[curves["curve"] == "healthy"]["dataset"])
    return next((name for name in study.scored_sets() if name in healthy), "")


def training(curves: pd.DataFrame) -> dict[str, Plot]:
    """A plot of the losses per model: solid for training, dashed for validation, a line per seed."""
    plots = {}
    for model, rows in curves.groupby("model", sort=False) if len(curves) else []:
        plot = figures.losses(f"Losses of {model}", rows)
        if plot is not None:
            plots[str(model)] = plot
    return plots


def training_legend() -> Markup:
    """The legend of all losses."""
    return legend([Line("training", (), (), *figures.TRAINING), Line("validation", (), (), *figures.VALIDATION)])


def _of_seeds(rows: pd.DataFrame, seeds: ShownSeeds) -> pd.DataFrame:
    runs = zip(rows["model"], rows["dataset"], rows["seed"], strict=True)
    return rows.loc[[seeds.get((model, dataset)) == seed for model, dataset, seed in runs]]


def _line(study: Study, model: str, rows: pd.DataFrame) -> Line:
    colour, _ = style(list(study.models).index(model))
    ordered = rows.sort_values("x", kind="stable")
    baseline = model in study.baselines()
    label, dash = (f"{model} (baseline)", BASELINE_DASH) if baseline else (model, ())
    return Line(label, tuple(ordered["x"]), tuple(ordered["y"]), colour, dash)
