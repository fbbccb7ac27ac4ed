"""AUPRC per scan by site, sex and age of the patients: exploratory, without a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainuad.config.datasets import Made
from brainuad.config.study import Study
from brainuad.formats.scans import Scan
from brainuad.metrics import statistics
from brainuad.report.methods_section.participants import ages

FEWEST_FOR_INTERVAL = 10
"""Patients; under this number a subgroup has no interval."""
MOST_VALUES = 8
"""Subgroups by one attribute, the largest ones."""


@dataclass(frozen=True)
class Subgroup:
    """Patients of a data set that share a value; `numbers`: by model the mean and its interval, which may be NaN."""

    dataset: str
    attribute: str
    value: str
    patients: int
    numbers: Mapping[str, statistics.Number]


def subgroups(study: Study, scans: pd.DataFrame, listed: Sequence[Scan]) -> list[Subgroup]:
    """Of each data set with lesions and each attribute with two known values or more, under the first postprocessing.

    `scans`: `scans.tsv`; `listed`: `subjects.tsv`. A patient counts once: the mean over scans and seeds.
    """
    first = next(iter(study.postprocessing))
    scored = scans[(scans["postprocessing"] == first) & scans["auprc"].notna()]
    people = {(scan.dataset, scan.subject): scan for scan in reversed(listed)}
    found = []
    for dataset, part in scored.groupby("dataset", sort=False):
        settings = study.datasets[str(dataset)]
        source = settings.into if isinstance(settings, Made) else str(dataset)
        subjects = list(map(str, part["subject"].unique()))
        known = {name: people[source, name] for name in subjects if (source, name) in people}
        by_model = {
            str(model): each.pivot_table("auprc", "subject", "seed").reindex(subjects)
            for model, each in part.groupby("model", sort=False)
        }
        for attribute, values in _attributes(known).items():
            for value in _shown(values):
                chosen = np.array([values.get(name) == value for name in subjects])
                numbers = {model: _mean(each.to_numpy(dtype=float)[chosen]) for model, each in by_model.items()}
                found.append(Subgroup(str(dataset), attribute, value, int(chosen.sum()), numbers))
    return found


def _attributes(known: Mapping[str, Scan]) -> dict[str, dict[str, str]]:
    """Site, sex and age third of each subject, as far as they are known; attributes with one value are left out."""
    found = {
        "site": {name: scan.site for name, scan in known.items() if scan.site},
        "sex": {name: scan.sex for name, scan in known.items() if scan.sex},
        "age": dict(_thirds(known)),
    }
    return {name: values for name, values in found.items() if len(set(values.values())) > 1}


def _thirds(known: Mapping[str, Scan]) -> Iterator[tuple[str, str]]:
    """Age third of each subject by its range, in years."""
    of = {name: age for name, scan in known.items() for age in ages([scan])}
    if len(of) >= 3:
        every = np.sort(list(of.values()))
        places = np.searchsorted(np.quantile(every, [1 / 3, 2 / 3]), every)
        ends = [(part[0], part[-1]) if len(part := every[places == place]) else (0.0, 0.0) for place in range(3)]
        names = [f"up to {ends[0][1]:g}", f"{ends[1][0]:g} to {ends[1][1]:g}", f"above {every[places < 2][-1]:g}"]
        third = dict(zip(every.tolist(), places.tolist(), strict=True))
        for name, age in of.items():
            yield name, names[third[age]]


def _shown(values: Mapping[str, str]) -> list[str]:
    counts = pd.Series(values).value_counts()
    return sorted(map(str, counts.index[:MOST_VALUES]), key=_natural)


def _natural(value: str) -> tuple[bool, bool, str]:
    """Age thirds in their order, other values by name."""
    return value.startswith("above"), not value.startswith("up to"), value


def _mean(values: statistics.Values) -> statistics.Number:
    """Over patients and seeds, with the interval of both."""
    there = statistics.complete(values)
    means = statistics.means_of(there)
    low, high = means.interval() if len(there) >= FEWEST_FOR_INTERVAL else (np.nan, np.nan)
    return float(means.value), float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))
