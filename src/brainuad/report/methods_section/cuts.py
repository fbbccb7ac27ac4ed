"""How thresholds came about: their rules, the scans behind them, and their rates in testing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from brainuad.config.study import Study
from brainuad.formats import thresholds
from brainuad.formats.thresholds import FoundThreshold
from brainuad.report.methods_section.blocks import Facts

UNDER, ABOVE = "quantile", "false_positive_share"
"""Settings of threshold rules: the share of healthy voxels that is to lie under, or above the threshold."""


def table(study: Study, metrics: pd.DataFrame, folder: Path) -> Facts | None:
    """A row per threshold rule; None before any threshold was found."""
    healthy = [label for label, dataset in study.datasets.items() if dataset.healthy]
    rows = []
    for rule in study.thresholds:
        found = _found(study, folder, rule.label)
        if not found:
            continue
        used = [each for each in found if each.value is not None]
        above = getattr(rule, ABOVE, None) or 1 - getattr(rule, UNDER, 1.0)
        nominal = f"{100 * above:.3g}" if above else "–"
        rates = _rates(metrics, "voxel_fpr", rule.label, healthy)
        sets = sorted({name.partition("/")[0] for each in used for name in each.scans})
        behind = _range([len(each.scans) for each in used]) if used else found[0].note or "none"
        rows.append([rule.label, f"{behind} ({', '.join(sets)})" if sets else behind, nominal, rates])
    scan = metrics[(metrics["metric"] == "threshold_scan")]
    if len(scan):
        wanted = metrics.loc[metrics["metric"] == "nominal_specificity_scan", "value"].dropna()
        nominal = _percent((1 - wanted).tolist()) if len(wanted) else "–"
        missed = metrics[metrics["metric"] == "specificity_scan"]
        parts = [
            f"{label}: {_percent((1 - part['value']).tolist())}"
            for label, part in missed.groupby("dataset", sort=False)
        ]
        rows.append(["whole scans", _range(scan["n"].astype(int).tolist()), nominal, "; ".join(parts) or "–"])
    if not rows:
        return None
    caption = (
        "Thresholds: the scans that each was set on (for whole scans: people), the nominal false-positive rate, and "
    )
    caption += (
        "the realised one (% of lesion-free voxels of healthy test scans; for whole scans % of the healthy scans that "
    )
    caption += "each data set is compared with), from the lowest to the highest over models, seeds and postprocessing."
    return Facts(caption, ["threshold", "set on", "nominal %", "realised %"], rows)


def _found(study: Study, folder: Path, rule: str) -> list[FoundThreshold]:
    """The thresholds of a rule, of each model's first seed and data set that has them."""
    found = []
    for model in study.models:
        for postprocessing in study.postprocessing:
            places = (
                folder / "postprocess" / model / f"seed-{seed}" / dataset / postprocessing
                for seed in study.seeds
                for dataset in study.scored_sets()
            )
            place = next((each for each in places if (each / thresholds.NAME).exists()), None)
            if place and rule in (read := thresholds.read(place)):
                found.append(read[rule])
    return found


def _rates(metrics: pd.DataFrame, metric: str, rule: str, datasets: Sequence[str]) -> str:
    kept = metrics[(metrics["metric"] == metric) & (metrics["threshold_rule"] == rule)]
    parts = [(label, kept.loc[kept["dataset"] == label, "value"].dropna().tolist()) for label in datasets]
    return "; ".join(f"{label}: {_percent(values)}" for label, values in parts if values) or "–"


def _percent(values: Sequence[float]) -> str:
    return _range([float(f"{100 * value:.3g}") for value in values])


def _range(values: Sequence[float]) -> str:
    return f"{min(values):g}" if min(values) == max(values) else f"{min(values):g} to {max(values):g}"
