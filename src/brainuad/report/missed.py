"""The results if test scans that failed before scoring counted as missed: a sensitivity analysis."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from brainuad.config.study import Study
from brainuad.report.methods_section.participants import Group

NUMBERS = {"auprc": "AUPRC per scan", "dice": "Dice per scan"}
"""Numbers of a scan that are 0 where it is missed."""
NONE = (math.nan, math.nan)


@dataclass(frozen=True)
class Missed:
    """One data set. `rows`: model, postprocessing, and of each of `NUMBERS` the value without and with what failed."""

    dataset: str
    failed: int
    listed: int
    rows: Sequence[tuple[str, str, dict[str, tuple[float, float]]]]

    def __str__(self) -> str:
        return f"{self.failed} of {self.listed} test scans of `{self.dataset}` with a lesion mask failed before scoring"


def counted_as_missed(study: Study, scans: pd.DataFrame, groups: Sequence[Group]) -> list[Missed]:
    """Of each data set of patients with test scans that failed. `scans`: `scans.tsv`.

    A scan that failed has AUPRC and Dice 0. Means are those of the tables: over scans, then patients, then seeds.
    """
    found = []
    for group in groups:
        failed = [scan for scan in group.failed if scan.mask]
        own = scans[scans["dataset"] == group.dataset]
        if group.role == "test" and not group.made and failed and not study.datasets[group.dataset].healthy:
            found_of = {name: _both(own, name, Counter(scan.subject for scan in failed)) for name in NUMBERS}
            runs = own[["model", "postprocessing"]].drop_duplicates().itertuples(index=False, name=None)
            rows = [
                (
                    model,
                    postprocessing,
                    {name: each.get((model, postprocessing), NONE) for name, each in found_of.items()},
                )
                for model, postprocessing in runs
            ]
            listed = len(failed) + sum(bool(scan.mask) for scan in group.used)
            found.append(Missed(group.dataset, len(failed), listed, rows))
    return found


def _both(scans: pd.DataFrame, name: str, failed: Counter[str]) -> dict[tuple[str, str], tuple[float, float]]:
    """By model and postprocessing the mean without and with the scans that failed; `failed`: of each subject."""
    runs = ["model", "postprocessing", "seed"]
    scored = scans[scans[name].notna()]
    each = scored.groupby([*runs, "subject"], sort=False)[name].agg(["sum", "count"]).reset_index()
    gone = each["subject"].map(failed).fillna(0)
    each = each.assign(without=each["sum"] / each["count"], total=each["sum"] / (each["count"] + gone), known=gone > 0)
    patients = each.groupby(runs, sort=False).agg(
        without=("without", "mean"), total=("total", "sum"), patients=("subject", "size"), known=("known", "sum")
    )
    patients["missed"] = patients["total"] / (patients["patients"] + len(failed) - patients["known"])
    means = patients.groupby(level=[0, 1], sort=False)[["without", "missed"]].mean()
    return dict(zip(means.index, zip(means["without"], means["missed"], strict=True), strict=True))
