"""Intervals and tests over patients: all scans of a patient (sessions, draws) count as one.

Several trainings of a model (seeds) are a second sample, crossed with the patients: a difference must exceed what
another training would give, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, islice, product
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import special

Weights = Float[np.ndarray, "samples scans"]
"""How often a scan counts in each sample of patients."""
Values = Float[np.ndarray, "patients seeds"]
ModelValues = Float[np.ndarray, "models patients seeds"]
"""NaN where a model has no value."""
Each = Float[np.ndarray, "*n"]
Scale = Literal["share", "amount", "any"]
"""Of a number: between 0 and 1, not negative, or neither."""
Number = tuple[float, float, float]
"""A value and both ends of its 95 % interval."""

FEWEST_PATIENTS = 3
"""Under this number no interval and no test is given."""
FEWEST_DECIDED = 10
"""Under this number of patients nothing is called better or worse."""
LEVEL = 0.05
"""Of a test, and the complement of an interval's."""
DRAWS = 10_000
"""Sign flips of a permutation test from 15 patients on; under that all (8,192 of 14 patients)."""
EXACT_PATIENTS = 14
ROUNDING = 1e-9
"""Sums of equal numbers in another order differ by less, relative to their size."""
SMALLEST_P = 1e-100
"""Smaller ones, as of equal differences, have no t that SciPy finds; none of them is ever drawn by chance."""
MOST_LOG = 50.0
"""Logarithm of the largest factor of an interval."""


@dataclass(frozen=True)
class PairedTest:
    """The difference of two models. NaN where patients are too few."""

    difference: float
    """Mean over patients and seeds."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    p: float
    """Two-sided; not corrected."""
    patients: int
    seeds: int
    effect: float = np.nan
    """The difference in standard deviations over patients; 0 where the variance between trainings alone hides it."""
    p_adjusted: float = np.nan
    """Corrected for all tests of a family; NaN outside of one."""


@dataclass(frozen=True)
class Means:
    """Means over patients and seeds. `t`: standard errors between them and 0; `df`: the degrees of freedom of those."""

    value: Each
    error: Each
    t: Each
    df: Each

    def interval(self, level: float = LEVEL) -> tuple[Each, Each]:
        """Ends of the intervals that hold the true mean with probability 1 - level."""
        half = -special.stdtrit(self.df, level / 2) * self.error
        return self.value - half, self.value + half

    @property
    def chance(self) -> Each:
        """Two-sided p of t."""
        return np.asarray(2 * special.stdtr(self.df, -np.abs(self.t)))


def means_of(values: Float[np.ndarray, "*n patients seeds"], between: Each | float = 0.0, between_df: int = 0) -> Means:
    """Means over patients and seeds, which are random and crossed; NaN errors under three patients.

    Their variance is (MS_patients + MS_seeds - MS_rest) / (patients x seeds), not less than the part of the patients;
    the degrees of freedom are Satterthwaite's (1946), at least 1. `between`: a variance between trainings, with its
    degrees of freedom, that MS_seeds may exceed, not undercut: a few seeds that agree by luck do not make a small
    error.
    """
    patients, seeds = values.shape[-2:]
    mean = values.mean(axis=(-2, -1)) if patients * seeds else np.full(values.shape[:-2], np.nan)
    if patients < FEWEST_PATIENTS:
        nothing = np.full(mean.shape, np.nan)
        return Means(mean, nothing, nothing, nothing)
    of_patients = values.mean(axis=-1).var(axis=-1, ddof=1) / patients
    variance, df = of_patients, np.full(mean.shape, patients - 1.0)
    if seeds > 1:
        by_seed, rest_df = values.mean(axis=-2), (patients - 1) * (seeds - 1)
        rest = values - values.mean(axis=-1, keepdims=True) - by_seed[..., None, :] + mean[..., None, None]
        of_rest = (rest**2).sum(axis=(-2, -1)) / rest_df / (patients * seeds)
        own = by_seed.var(axis=-1, ddof=1) / seeds
        of_seeds = np.maximum(own, between / seeds)
        seeds_df = np.where(of_seeds > own, between_df, seeds - 1)
        counts = of_seeds > of_rest
        variance = np.where(counts, of_patients + of_seeds - of_rest, of_patients)
        parts = of_patients**2 / (patients - 1) + of_seeds**2 / seeds_df + of_rest**2 / rest_df
        df = np.where(counts, np.maximum(variance**2 / np.where(counts, parts, 1), 1), df)
    error = np.sqrt(variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(mean == 0, 0.0, mean / error)
    return Means(np.asarray(mean), np.asarray(error), t, np.asarray(df))


def complete(values: Values) -> Values:
    """The seeds that have values, and the patients with a value for each of them; without such seeds no patient."""
    seeds = np.isfinite(values).any(axis=0)
    there = values[:, seeds]
    return there[np.isfinite(there).all(axis=1) & seeds.any()]


def paired(difference: Values) -> PairedTest:
    """Test whether two models differ on average. `difference`: one minus the other; NaN where either has no value.

    The p is the share of all sign flips of the patients (from 15 patients on: of 10,000) with a t at least as large as
    the observed one, in which the variance between trainings counts. One seed: a statement about that training.
    """
    nothing = np.zeros_like(difference)
    return _Tests.of([np.stack([difference, nothing])]).alone()[0]


def adjusted(groups: Sequence[Sequence[ModelValues]]) -> list[list[list[PairedTest]]]:
    """Test every two models of each array, and correct all together: step-down min-P (Westfall and Young 1993).

    The arrays of a group have the same patients, whose signs flip together: the correlation of the tests is kept, and
    tests that stand twice count once. Groups are taken as independent (Šidák 1967). If no model differs from another,
    about 5 % of studies have a corrected p under 0.05. Pairs with under three patients do not count.
    Each model comes with each later one, then the second: the order of `itertools.combinations`.
    """
    tests = [_Tests.of(arrays) for arrays in groups]
    chances = np.concatenate([each.chances for each in tests]) if tests else np.zeros(0)
    owners = np.repeat(np.arange(len(tests)), [len(each.chances) for each in tests])
    corrected, passed, highest = np.full(len(chances), np.nan), [0] * len(tests), 0.0
    for place in np.argsort(chances, kind="stable")[: int(np.isfinite(chances).sum())]:
        none = np.prod([1 - each.share(chances[place], passed[i]) for i, each in enumerate(tests)])
        highest = max(highest, 1 - float(none))
        corrected[place] = highest
        passed[owners[place]] += 1
    alone = [test for each in tests for test in each.alone()]
    found = iter(
        [replace(test, p_adjusted=float(np.maximum(p, test.p))) for p, test in zip(corrected, alone, strict=True)]
    )
    return [[list(islice(found, comb(len(models), 2))) for models in arrays] for arrays in groups]


@dataclass(frozen=True)
class _Tests:
    """Tests on the same patients."""

    differences: Sequence[Values]
    chances: Each
    """Two-sided p of t of each, with a variance between trainings that the models share."""
    ratios: Float[np.ndarray, "flips tests"]
    """Of the signs of the patients, flip by flip; see `_ratio_of`."""
    largest: Float[np.ndarray, "flips ranks"]
    """Sorted, by rank: the largest ratio in each flip of the tests with this rank of `chances` or a later one."""
    patients: int
    """The most that a test has."""

    @classmethod
    def of(cls, arrays: Sequence[ModelValues]) -> _Tests:
        whole = [[a - b for a, b in combinations(models, 2)] for models in arrays]
        differences = [difference for each in whole for difference in each]
        patients = max((len(complete(each)) for each in differences), default=0)
        if patients < FEWEST_PATIENTS:
            nothing = np.full((1, len(differences)), np.nan)
            return cls(differences, nothing[0], nothing, nothing[:, :0], patients)
        chance = np.concatenate([_chances(*each) for each in zip(whole, arrays, strict=True)])
        ratios = _ratios(differences, patients)
        order = np.argsort(chance, kind="stable")[: int(np.isfinite(chance).sum())]
        largest = np.maximum.accumulate(ratios[:, order[::-1]], axis=1)[:, ::-1]
        return cls(differences, chance, ratios, np.sort(largest, axis=0), patients)

    def share(self, chance: float, rank: int) -> float:
        """How probable it is that any test from this rank on has such a p of t or a smaller one by chance."""
        flips, ranks = self.largest.shape
        if rank >= ranks:
            return 0.0
        ratio = float(_ratio_of(np.array(chance), self.patients)) - ROUNDING
        above = flips - int(np.searchsorted(self.largest[:, rank], ratio))
        return (1 + above) / (1 + flips) if flips == DRAWS else above / flips

    def alone(self) -> list[PairedTest]:
        """Each test by itself."""
        found: list[PairedTest] = []
        for places, values in _completed(self.differences):
            means, (patients, seeds) = means_of(values), values.shape[-2:]
            p = np.full(len(places), np.nan)
            if patients >= FEWEST_PATIENTS:
                above = (self.ratios[:, places] >= _ratio_of(means.chance, self.patients) - ROUNDING).sum(axis=0)
                flips = len(self.ratios)
                p = (1 + above) / (1 + flips) if flips == DRAWS else above / flips
            numbers = np.stack([means.value, *means.interval(), p, _effects(values)]).T
            for mean, low, high, chance, effect in numbers.tolist():
                found.append(PairedTest(mean, low, high, chance, patients, seeds, effect))
        return found


def _completed(
    differences: Sequence[Values],
) -> Iterator[tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n patients seeds"]]]:
    """The differences without missing values, stacked where none is missing; and their places."""
    if all(np.isfinite(each).all() for each in differences):
        if differences:
            yield np.arange(len(differences)), np.stack(differences)
        return
    for place, each in enumerate(differences):
        yield np.array([place]), complete(each)[None]


def _chances(differences: Sequence[Values], models: ModelValues) -> Each:
    """Two-sided p of t of each difference, with the mean variance between trainings of the models."""
    variances = [_between_seeds(complete(values)) for values in models]
    df = sum(df for variance, df in variances if variance > 0)
    pooled = sum(variance * df for variance, df in variances) / df if df else 0.0
    trained = combinations([variance > 0 for variance, _ in variances], 2)
    between = np.array([pooled * (a + b) for a, b in trained])
    parts = [means_of(values, between[places], df).chance for places, values in _completed(differences)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _between_seeds(values: Values) -> tuple[float, int]:
    """Variance between trainings of a model's mean over patients, and its degrees of freedom."""
    seeds = values.shape[1]
    return (float(values.mean(axis=0).var(ddof=1)), seeds - 1) if seeds > 1 and len(values) else (0.0, 0)


def _effects(values: Float[np.ndarray, "n patients seeds"]) -> Each:
    """`effect` of `PairedTest`."""
    patients, seeds = values.shape[-2:]
    if patients < FEWEST_PATIENTS:
        return np.full(len(values), np.nan)
    mean, spread = np.abs(values.mean(axis=(1, 2))), values.mean(axis=2).std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(mean == 0, 0.0, mean / spread)
    if seeds == 1:
        return effect
    rest = values - values.mean(axis=2, keepdims=True)
    of_rest = (rest - rest.mean(axis=1, keepdims=True)).var(axis=(1, 2)) * seeds / (seeds - 1) / (patients - 1)
    between = np.maximum(values.mean(axis=1).var(axis=1, ddof=1) - of_rest, 0) / seeds
    hidden = mean < -special.stdtrit(seeds - 1, LEVEL / 2) * np.sqrt(between)
    return np.where(hidden, 0.0, effect)


def _ratio_of(chance: Each, patients: int) -> Each:
    """The ratio |sum| / sqrt(patients x sum of squares) whose t has this two-sided p; from 0 to 1."""
    t = special.stdtrit(patients - 1, np.clip(chance, SMALLEST_P, 1) / 2)
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.sqrt(1 + (patients - 1) / t**2))


def _ratios(differences: Sequence[Values], patients: int) -> Float[np.ndarray, "flips tests"]:
    """The ratio of each test in each flip; of tests with fewer than `patients`, the ratio with the same p of t."""
    columns = np.full((len(differences[0]), len(differences)), np.nan)
    for column, each in zip(columns.T, differences, strict=True):
        seeds = each[:, np.isfinite(each).any(axis=0)]
        column[:] = seeds.mean(axis=1) if seeds.size else np.nan
    there = np.isfinite(columns)
    used, counts = there.any(axis=1), there.sum(axis=0)
    columns = np.where(there, columns, 0)
    sizes = np.sqrt(counts * (columns**2).sum(axis=0))
    ratios = np.abs(_signs(int(used.sum())) @ columns[used]) / np.where(sizes > 0, sizes, 1)
    fewer = counts < patients
    if fewer.any():
        below = np.minimum(ratios[:, fewer] ** 2, 1 - np.finfo(float).eps)
        t = np.sqrt((counts[fewer] - 1) * below / (1 - below))
        ratios[:, fewer] = _ratio_of(2 * special.stdtr(counts[fewer] - 1, -t), patients)
    return ratios


@cache
def _signs(patients: int) -> Float[np.ndarray, "flips patients"]:
    if patients <= EXACT_PATIENTS:  # the first sign stays: a flip and its opposite have the same size
        return np.array([(1, *signs) for signs in product((1.0, -1.0), repeat=patients - 1)])
    return np.random.default_rng(0).choice((-1.0, 1.0), size=(DRAWS, patients))


def patient_index(subjects: Sequence[str]) -> Int[np.ndarray, "scans"]:
    """The patient of each scan, as a number from 0 on."""
    return np.unique(np.asarray(subjects, dtype=str), return_inverse=True)[1]


def leave_one_out(subjects: Sequence[str]) -> Weights | None:
    """Scans that stay (1) where each patient in turn is left out; None under three patients."""
    patient = patient_index(subjects)
    patients = int(patient.max(initial=-1)) + 1
    return None if patients < FEWEST_PATIENTS else (patient != np.arange(patients)[:, None]).astype(float)


def interval(
    value: float, without: Float[np.ndarray, "patients"] | None, scale: Scale = "share", independent: int = 0
) -> tuple[float, float]:
    """The 95 % interval of a number of several patients, from its values without each of them (jackknife).

    A t interval on the logit (share) or the logarithm (amount), which keeps its level for skewed numbers, or as it is.
    Its degrees of freedom are those of the variance at the kurtosis of the patients' influence: few where few patients
    make the number. A share of exactly 0 or 1 has the limit of Clopper and Pearson (1934), with the `independent`
    observations, by default the patients. NaN under three patients, and for an amount of exactly 0.
    """
    known = np.zeros(0) if without is None else without[np.isfinite(without)]
    if len(known) < FEWEST_PATIENTS or not np.isfinite(value):
        return np.nan, np.nan
    patients, influence = len(known), known - value
    beyond = (LEVEL / 2) ** (1 / (independent or patients))
    squares = float((influence**2).sum())
    if squares <= (ROUNDING * abs(value)) ** 2:
        ends = {"share": {0.0: (0.0, 1 - beyond), 1.0: (beyond, 1.0)}, "amount": {0.0: (np.nan, np.nan)}, "any": {}}
        return ends[scale].get(value, (value, value))
    df = np.clip(3 * squares**2 / float((influence**4).sum()) - 1, 1, patients - 1)
    half = -float(special.stdtrit(df, LEVEL / 2)) * np.sqrt((patients - 1) / patients * squares)
    if scale == "share" and 0 < value < 1:
        at, width = special.logit(value), half / (value * (1 - value))
        return float(special.expit(at - width)), float(special.expit(at + width))
    if scale == "amount" and value > 0:
        factor = float(np.exp(min(half / value, MOST_LOG)))
        return value / factor, value * factor
    return float(value - half), float(value + half)


def scale_of(*values: Float[np.ndarray, "..."]) -> Scale:
    """Share: all lie between 0 and 1. Amount: none is negative. NaN does not count."""
    known = np.concatenate([each[np.isfinite(each)].ravel() for each in values])
    return "any" if (known < 0).any() else "amount" if (known > 1).any() else "share"


def ratio(
    numerator: Float[np.ndarray, "scans"],
    denominator: Float[np.ndarray, "scans"],
    weights: Weights | None,
    scale: Scale = "share",
) -> Number:
    """Sum of `numerator` over sum of `denominator`, with its interval; NaN where the divisor is 0."""

    def weighted(each: Float[np.ndarray, "*samples scans"]) -> Float[np.ndarray, "*samples"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((each @ numerator) / (each @ denominator))

    value = float(weighted(np.ones(len(numerator))))
    if weights is None:
        return value, np.nan, np.nan
    counted = (1 - weights) @ denominator > 0  # patients with nothing in the divisor say nothing
    return value, *interval(value, weighted(weights[counted]), scale)


def patient_mean(
    values: Float[np.ndarray, "scans"], subjects: Sequence[str], weights: Weights | None, scale: Scale | None = None
) -> Number:
    """Mean over patients of the mean over their scans, with its interval; scans without a value (NaN) are excluded.

    `scale`: by default that of the values.
    """
    patient, valid = patient_index(subjects), np.isfinite(values)
    scans = np.bincount(patient[valid], minlength=int(patient.max(initial=-1)) + 1)
    share = np.where(valid, 1 / np.maximum(scans[patient], 1), 0.0)
    return ratio(np.where(valid, values, 0) * share, share, weights, scale or scale_of(values))
