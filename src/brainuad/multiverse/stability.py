"""How stable a ranking of models is over many choices. Choices share scans and maps: they are no replications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

Table = Float[np.ndarray, "choices models"]

MODEL, TOGETHER, MODEL_BY_CHOICE = "model", "choices together", "model by choice"
"""Sources of variance beside the factors."""


@dataclass(frozen=True)
class Stability:
    """Of each model over the choices in which every model has a value."""

    led: Float[np.ndarray, "models"]
    """Share of choices in which it has the highest value; models that share it share the choice."""
    median_rank: Float[np.ndarray, "models"]
    best_rank: Float[np.ndarray, "models"]
    worst_rank: Float[np.ndarray, "models"]
    agreement: float
    """Kendall's W of the ranks, 0 (none) to 1 (always the same order); NaN under two choices or without any order."""
    choices: int
    equal: int
    """Choices in which all models have the same value, such as a lesion recall of 0: they share the lead."""


def ranks(values: Table) -> Table:
    """The rank of each model under each choice; 1: the highest value; equal values share the mean of their ranks."""
    return np.asarray(stats.rankdata(-values, axis=1)) if len(values) else np.zeros(values.shape)


def stability(values: Table) -> Stability:
    """Rows with a missing value (NaN) are left out. Higher values are better."""
    whole = values[np.isfinite(values).all(axis=1)]
    places = ranks(whole)
    if not len(places):
        unknown = np.full(values.shape[1], np.nan)
        return Stability(unknown, unknown, unknown, unknown, np.nan, 0, 0)
    first = whole == whole.max(axis=1, keepdims=True)
    led = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    spread = np.median(places, axis=0), places.min(axis=0), places.max(axis=0)
    equal = int((whole.max(axis=1) == whole.min(axis=1)).sum())
    return Stability(led, *spread, kendall_w(places), len(places), equal)


def kendall_w(places: Table) -> float:
    """Kendall's coefficient of concordance of rows of ranks, corrected for ties (Kendall 1948); NaN if undefined."""
    rows, models = places.shape
    counts = [np.unique(row, return_counts=True)[1].astype(float) for row in places]
    ties = sum(float((each**3 - each).sum()) for each in counts)
    most = rows**2 * (models**3 - models) - rows * ties
    if rows < 2 or most <= 0:
        return np.nan
    sums = places.sum(axis=0)
    return float(12 * np.square(sums - sums.mean()).sum() / most)


def variance_shares(values: Table, levels: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """The share of the variance of `values` that each source explains (eta squared); they add up to 1.

    `levels`: by factor, its level in each choice. Keys: `MODEL`; each factor with more than one level; `TOGETHER`: what
    main effects leave of the differences between choices; `MODEL_BY_CHOICE`: what a choice changes for some models
    only, as it must to change a rank. The factors should be crossed in full. Rows with a missing value are left out.
    Empty without any variance.
    """
    keep = np.isfinite(values).all(axis=1)
    whole = values[keep]
    total = float(np.square(whole - whole.mean()).sum()) if whole.size else 0.0
    if total <= 0:
        return {}
    mean, by_choice = whole.mean(), whole.mean(axis=1)
    shares = {MODEL: float(np.square(whole.mean(axis=0) - mean).sum()) * len(whole) / total}
    between = float(np.square(by_choice - mean).sum()) * whole.shape[1] / total
    left = between
    for factor, each in levels.items():
        of_choice = np.asarray(each)[keep]
        names, index, counts = np.unique(of_choice, return_inverse=True, return_counts=True)
        if len(names) > 1:
            means = np.bincount(index, weights=by_choice) / counts
            share = float((counts * np.square(means - mean)).sum()) * whole.shape[1] / total
            shares[factor] = share
            left -= share
    shares[TOGETHER] = max(left, 0.0)
    shares[MODEL_BY_CHOICE] = max(1 - shares[MODEL] - between, 0.0)
    return shares
