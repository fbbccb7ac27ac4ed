"""The networks of a study against its best trivial baseline: each training once, each at its best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainuad.metrics import statistics
from brainuad.papers.claims import holm, paired
from brainuad.papers.finished_study import FinishedStudy


@dataclass(frozen=True)
class AgainstBaselines:
    """One data set, by AUPRC of each scan. Labels are of a model and a postprocessing.

    Each training and the best baseline stand at that map and postprocessing that give it the highest mean on the test
    scans themselves: in favour of both.
    """

    dataset: str
    patients: int
    seeds: int
    baseline: str
    value: float
    above: list[str]
    """Trainings with a higher mean, best first, with it."""
    trainings: int
    better: list[str]
    """Those that the paired test finds better, after Holm's correction over all trainings; and those it finds worse."""
    worse: list[str]


def against_baselines(study: FinishedStudy) -> Iterator[AgainstBaselines]:
    """One for each data set with lesions and a trivial baseline."""
    baselines, trainings = study.study.baselines(), study.study.trainings()
    scored = study.scans.dropna(subset=["auprc"])
    for dataset, rows in scored.groupby("dataset", sort=False):
        best: dict[str, tuple[float, str, pd.DataFrame]] = {}
        for (model, chain), each in rows.groupby(["model", "postprocessing"], sort=False):
            values = each.pivot_table(index="subject", columns="seed", values="auprc")
            owner = "" if model in baselines else trainings[str(model)]
            found = float(np.nanmean(values.to_numpy())), f"`{model}` after `{chain}`", values
            if owner not in best or found[0] > best[owner][0]:
                best[owner] = found
        if "" in best:
            yield _compared(str(dataset), best.pop(""), best)


def _compared(
    dataset: str, baseline: tuple[float, str, pd.DataFrame], networks: dict[str, tuple[float, str, pd.DataFrame]]
) -> AgainstBaselines:
    value, name, reference = baseline
    ordered = sorted(networks.values(), key=lambda each: -each[0])
    tests = [paired((values - reference).dropna(how="all").to_numpy()) for _, _, values in ordered]
    p = holm([1.0 if np.isnan(test.p) else test.p for test in tests])
    decided = [
        (f"{label} ({mean:.3f})", test.difference > 0)
        for (mean, label, _), test, each in zip(ordered, tests, p, strict=True)
        if each < statistics.LEVEL and test.patients >= statistics.FEWEST_DECIDED
    ]
    return AgainstBaselines(
        dataset,
        len(reference),
        len(reference.columns),
        name,
        value,
        [f"{label} ({mean:.3f})" for mean, label, _ in ordered if mean > value],
        len(ordered),
        [text for text, higher in decided if higher],
        [text for text, higher in decided if not higher],
    )
