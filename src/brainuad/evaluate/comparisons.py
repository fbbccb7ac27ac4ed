"""Every two models on the same patients, and whether their difference is decided: the only place that decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby

import numpy as np
import pandas as pd
from jaxtyping import Float

from brainuad.formats import tables
from brainuad.formats.verdicts import Verdict
from brainuad.metrics import PRIMARY, sample_size, statistics
from brainuad.metrics.statistics import FEWEST_DECIDED, LEVEL, ModelValues, PairedTest

Cube = Float[np.ndarray, "models scans seeds"]


@dataclass(frozen=True)
class _Part:
    """The models of a data set after one postprocessing. `same_as`: an earlier postprocessing with the same numbers."""

    dataset: str
    postprocessing: str
    models: Sequence[str]
    values: ModelValues
    same_as: str


def compare(scans: pd.DataFrame, baselines: Sequence[str]) -> pd.DataFrame:
    """Rows of `comparisons.tsv` from those of `scans.tsv`: AUPRC of scans, mean over a patient's scans, by seed.

    All pairs of all data sets and postprocessings are corrected together; those of data sets with under ten patients
    can decide nothing and do not count. Baselines are references of all others.
    """
    parts = list(_parts(scans.dropna(subset=["auprc"]), baselines))
    rows: list[dict[str, object]] = []
    effects, levels = [], []
    distinct = sum(not part.same_as for part in parts)
    for part, tests in zip(parts, _tested(parts), strict=True):
        for (model, reference), test in zip(combinations(part.models, 2), tests, strict=True):
            if test.patients == 0:
                continue
            rows.append(
                {"dataset": part.dataset, "postprocessing": part.postprocessing, "metric": PRIMARY.name}
                | {"model": model, "reference": reference, "baseline": int(reference in baselines)}
                | {"n": test.patients, "seeds": test.seeds}
                | {"difference": test.difference, "ci_low": test.low, "ci_high": test.high, "p": test.p}
                | {"p_adjusted": test.p_adjusted, "verdict": decide(test), "same_as": part.same_as}
            )
            effects.append(test.effect)
            levels.append(sample_size.corrected_level(len(part.models), distinct))
    table = pd.DataFrame(rows, columns=list(tables.COMPARISONS))
    needed = sample_size.needed(np.array(effects), np.array(levels))
    open_ = table["verdict"].isin(["undecided", "too few"]) & (needed > table["n"])  # else only more seeds would help
    table["n_needed"] = np.where(open_, needed, np.nan)
    return table


def decide(test: PairedTest) -> Verdict:
    """Whether the first model is better; its metric is better where it is higher."""
    if test.patients < FEWEST_DECIDED:
        return "too few"
    if not test.p_adjusted < LEVEL:
        return "undecided"
    return "better" if test.difference > 0 else "worse"


def _tested(parts: Sequence[_Part]) -> list[list[PairedTest]]:
    """The pairs of each part; data sets with under ten patients are not corrected."""
    groups = [list(group) for _, group in groupby(parts, key=lambda part: part.dataset)]
    enough = [group for group in groups if group[0].values.shape[1] >= FEWEST_DECIDED]
    family = iter(statistics.adjusted([[part.values for part in group] for group in enough]))
    found: list[list[PairedTest]] = []
    for group in groups:
        if group in enough:
            found += next(family)
        else:
            found += [
                [replace(t, p_adjusted=np.nan) for t in tests]
                for tests in statistics.adjusted([[part.values for part in group]])[0]
            ]
    return found


def _parts(scans: pd.DataFrame, baselines: Sequence[str]) -> Iterator[_Part]:
    for dataset, of_set in scans.groupby("dataset", sort=True):
        known = {label: sorted(of_set[label].unique()) for label in ("model", "seed")}
        known["model"].sort(key=lambda model: model in baselines)
        keys = of_set[["subject", "scan"]].drop_duplicates().sort_values(["subject", "scan"])
        cubes: dict[str, Cube] = {}
        for postprocessing, rows in of_set.groupby("postprocessing", sort=True):
            cube = np.full((len(known["model"]), len(keys), len(known["seed"])), np.nan)
            places = [pd.Index(known["model"]).get_indexer(rows["model"])]
            places += [pd.MultiIndex.from_frame(keys).get_indexer(pd.MultiIndex.from_frame(rows[["subject", "scan"]]))]
            places += [pd.Index(known["seed"]).get_indexer(rows["seed"])]
            cube[tuple(places)] = rows["auprc"]
            same = (label for label, other in cubes.items() if np.array_equal(cube, other, equal_nan=True))
            same_as = next(same, "")
            cubes[str(postprocessing)] = cube
            values = _by_patient(cube, keys["subject"].to_numpy())
            yield _Part(str(dataset), str(postprocessing), known["model"], values, same_as)


def _by_patient(cube: Cube, subjects: np.ndarray) -> ModelValues:
    """Mean over the scans of each patient.

    A scan that any model lacks is left out, unless the patient has no other: then the patient counts for the models
    that have all these scans.
    """
    there = np.isfinite(cube)
    run = there.any(axis=1, keepdims=True)  # a training whose evaluation is missing lacks no scan
    whole = (there | ~run).all(axis=(0, 2))
    names, patient = np.unique(subjects, return_inverse=True)
    kept = whole | ~np.isin(patient, patient[whole])
    sums = np.zeros((len(names), *cube.shape[::2]))
    np.add.at(sums, patient[kept], cube.transpose(1, 0, 2)[kept])  # a missing scan makes the sum NaN
    return (sums / np.bincount(patient[kept], minlength=len(names))[:, None, None]).transpose(1, 0, 2)
