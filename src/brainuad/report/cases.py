"""The best, the median and the worst scan of each model, by AUPRC."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from brainuad.config.study import Study

PLACES = {"best": 0.0, "median": 0.5, "worst": 1.0}
"""Share of the scans that are better."""


@dataclass(frozen=True)
class Case:
    """A scan. `in_viewer`: whether the viewer of the page has it."""

    scan: str
    auprc: float
    in_viewer: bool


@dataclass(frozen=True)
class ModelCases:
    """Of one model and data set: a case for each of `PLACES`."""

    dataset: str
    model: str
    cases: dict[str, Case]


def model_cases(
    study: Study, scans: pd.DataFrame, seeds: Mapping[tuple[str, str], int], browsable: Collection[tuple[str, str, str]]
) -> Iterator[ModelCases]:
    """After the study's first postprocessing, of the seeds that are shown; data sets without lesions have none.

    `scans`: the table of scans; `browsable`: data set, scan and model of what the viewer shows.
    """
    chosen = scans[(scans["postprocessing"] == next(iter(study.postprocessing))) & scans["auprc"].notna()]
    for (dataset, model), rows in chosen.groupby(["dataset", "model"], sort=False):
        own = rows[rows["seed"] == seeds.get((str(model), str(dataset)))].drop_duplicates("scan")
        ordered = own.sort_values(["auprc", "scan"], ascending=[False, True], ignore_index=True)
        if len(ordered):
            cases = {}
            for name, place in PLACES.items():
                row = ordered.iloc[round(place * (len(ordered) - 1))]
                key = (str(dataset), str(row["scan"]), str(model))
                cases[name] = Case(str(row["scan"]), float(row["auprc"]), key in browsable)
            yield ModelCases(str(dataset), str(model), cases)
