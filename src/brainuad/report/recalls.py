"""Share of the lesions that are detected, by their size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from brainuad.config.study import Study
from brainuad.config.told import listed
from brainuad.metrics import mask_metrics
from brainuad.metrics.evidence import LESION_SIZES

NAMES = {size: f"lesion_recall_{size}" for size in LESION_SIZES}


@dataclass(frozen=True)
class Recalls:
    """Of a model on a data set, means over seeds. `sizes`: share by class of `LESION_SIZES`, those with lesions.

    `false_positives`: components per scan; None where unknown.
    """

    sizes: Mapping[str, float]
    false_positives: float | None = None

    def __bool__(self) -> bool:
        return bool(self.sizes)

    def __str__(self) -> str:
        told = [f"{share:.0%} of the lesions {_volumes(size)}" for size, share in self.sizes.items()]
        false = self.false_positives
        return listed(told) + ("" if false is None else f", with {false:.1f} false-positive components per scan")


def recalls(study: Study, metrics: pd.DataFrame) -> dict[tuple[str, str], Recalls]:
    """By data set and model, after the study's first postprocessing and under its first threshold rule."""
    rules = [rule.label for rule in study.thresholds[:1]]
    false = mask_metrics.fp_per_scan.name
    chosen = metrics[
        (metrics["postprocessing"] == next(iter(study.postprocessing)))
        & metrics["threshold_rule"].isin(rules)
        & metrics["metric"].isin([*NAMES.values(), false])
    ].dropna(subset=["value"])
    found = {}
    for (dataset, model), rows in chosen.groupby(["dataset", "model"], sort=False):
        means = rows.groupby("metric")["value"].mean()
        sizes = {size: float(means[name]) for size, name in NAMES.items() if name in means}
        found[str(dataset), str(model)] = Recalls(sizes, float(means[false]) if false in means else None)
    return found


def _volumes(size: str) -> str:
    low, high = LESION_SIZES[size]
    if low == 0:
        return f"under {high:g} ml"
    return f"of {low:g} ml or more" if high == float("inf") else f"of {low:g} to {high:g} ml"
