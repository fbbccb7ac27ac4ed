"""The networks of a study beside its best trivial baseline: each training once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainuad.formats.verdicts import Comparisons
from brainuad.papers.finished_study import FinishedStudy


@dataclass(frozen=True)
class AgainstBaselines:
    """One data set, by AUPRC of each scan, mean over patients and seeds. Texts name model, postprocessing and mean."""

    dataset: str
    patients: int
    seeds: int
    baseline: str
    """The baseline and the postprocessing with the highest mean on the test scans."""
    value: float
    above: list[str]
    """Trainings with a higher mean, each at its own best map and postprocessing: an order, no test. Best first."""
    trainings: int
    better: list[str]
    """Maps that `comparisons.tsv` calls better than that baseline after that postprocessing."""
    worse: list[str]
    """Trainings each of whose maps it calls worse."""


@dataclass(frozen=True)
class _Scored:
    mean: float
    model: str
    chain: str

    @property
    def label(self) -> str:
        return f"`{self.model}` after `{self.chain}`"

    def __str__(self) -> str:
        return f"{self.label} ({self.mean:.3f})"


def against_baselines(study: FinishedStudy) -> Iterator[AgainstBaselines]:
    """One for each data set with lesions and a trivial baseline."""
    baselines, trainings = study.study.baselines(), study.study.trainings()
    comparisons = Comparisons(study.comparisons)
    for dataset, rows in study.scans.dropna(subset=["auprc"]).groupby("dataset", sort=False):
        found: dict[str, list[_Scored]] = {}
        for (model, chain), each in rows.groupby(["model", "postprocessing"], sort=False):
            owner = "" if model in baselines else trainings[str(model)]
            found.setdefault(owner, []).append(_Scored(_mean(each), str(model), str(chain)))
        if "" not in found:
            continue
        baseline = max(found.pop(""), key=lambda each: each.mean)
        networks = sorted((sorted(maps, key=lambda each: -each.mean) for maps in found.values()), key=_highest)
        verdicts = [
            [
                (each, _verdict(comparisons, str(dataset), each, baseline))
                for each in maps
                if each.chain == baseline.chain
            ]
            for maps in networks
        ]
        yield AgainstBaselines(
            str(dataset),
            rows["subject"].nunique(),
            rows["seed"].nunique(),
            baseline.label,
            baseline.mean,
            [f"{maps[0]}" for maps in networks if maps[0].mean > baseline.mean],
            len(networks),
            [f"{each}" for maps in verdicts for each, verdict in maps if verdict == "better"],
            [f"{maps[0][0]}" for maps in verdicts if maps and all(verdict == "worse" for _, verdict in maps)],
        )


def _mean(rows: pd.DataFrame) -> float:
    """Over patients and seeds."""
    return float(np.nanmean(rows.pivot_table(index="subject", columns="seed", values="auprc").to_numpy()))


def _highest(maps: list[_Scored]) -> float:
    return -maps[0].mean


def _verdict(comparisons: Comparisons, dataset: str, each: _Scored, baseline: _Scored) -> str:
    found = comparisons.between(dataset, baseline.chain, each.model, baseline.model)
    return found.verdict if found else ""
