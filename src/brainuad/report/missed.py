"""The results if test scans that failed before scoring counted as missed: a sensitivity analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from brainuad.config.study import Study
from brainuad.formats.scans import Scan
from brainuad.report.methods_section.participants import Group

NUMBERS = {"auprc": "AUPRC per scan", "dice": "Dice per scan"}
"""Numbers of a scan that are 0 where it is missed."""


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
            keys = own.groupby(["model", "postprocessing"], sort=False)
            rows = [
                (str(model), str(postprocessing), {name: _both(part, name, failed) for name in NUMBERS})
                for (model, postprocessing), part in keys
            ]
            listed = len(failed) + sum(bool(scan.mask) for scan in group.used)
            found.append(Missed(group.dataset, len(failed), listed, rows))
    return found


def _both(part: pd.DataFrame, name: str, failed: Sequence[Scan]) -> tuple[float, float]:
    """The mean without and with the scans that failed."""
    scored = part.loc[part[name].notna(), ["seed", "subject", name]]
    gone = [{"seed": seed, "subject": scan.subject, name: 0.0} for seed in scored["seed"].unique() for scan in failed]
    return _mean(scored, name), _mean(pd.concat([scored, pd.DataFrame(gone)], ignore_index=True), name)


def _mean(rows: pd.DataFrame, name: str) -> float:
    return float(rows.groupby(["seed", "subject"])[name].mean().groupby("seed").mean().mean())
