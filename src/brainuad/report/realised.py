"""The rate of false positives that thresholds have in healthy test scans, beside the one that they aim at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

SITE = "healthy_fpr_"
NUMBERS = ("nominal_fpr", "healthy_fpr", "healthy_fpr_min", "healthy_fpr_max", "fp_ml_per_scan", "healthy_fp_ml_max")


@dataclass(frozen=True)
class Realised:
    """A model's masks in the healthy test scans of a data set; means over seeds, extremes of all seeds.

    Shares of scored voxels; volumes in ml. NaN where the rule aims at no share.
    """

    dataset: str
    model: str
    postprocessing: str
    rule: str
    scans: int
    nominal_fpr: float
    healthy_fpr: float
    healthy_fpr_min: float
    healthy_fpr_max: float
    fp_ml_per_scan: float
    healthy_fp_ml_max: float
    sites: dict[str, float] = field(default_factory=dict)


def realised(metrics: pd.DataFrame) -> list[Realised]:
    """The rows of the report's table. `metrics`: as `metrics.tsv`."""
    keys = ["dataset", "model", "postprocessing", "threshold_rule"]
    rows = []
    for key, part in metrics.groupby(keys, sort=False):
        dataset, model, postprocessing, rule = (str(each) for each in key)
        values = {str(name): each for name, each in part.groupby("metric", sort=False)}
        if "healthy_fpr" not in values:
            continue
        numbers = {name: _over_seeds(name, values) for name in NUMBERS}
        scans = int(values["healthy_fpr"]["n"].max())
        extremes = ("healthy_fpr_min", "healthy_fpr_max")
        sites = {
            name.removeprefix(SITE): float(each["value"].mean())
            for name, each in values.items()
            if name.startswith(SITE) and name not in extremes
        }
        rows.append(Realised(dataset, model, postprocessing, rule, scans, **numbers, sites=sites))
    return rows


def _over_seeds(name: str, values: dict[str, pd.DataFrame]) -> float:
    found = values[name]["value"] if name in values else pd.Series([np.nan])
    extreme = name.rpartition("_")[2]
    return float(found.agg(extreme if extreme in ("min", "max") else "mean"))
