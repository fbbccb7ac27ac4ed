"""Intervals and tests over patients: all scans of a patient (sessions, draws) count as one.

Several trainings of a model (seeds) are a second sample, crossed with the patients: a difference must exceed what
another training would give, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise, product

import numpy as np
from jaxtyping import Float, Int
from scipy import special

Weights = Float[np.ndarray, "resamples scans"]
Values = Float[np.ndarray, "patients seeds"]
ModelValues = Float[np.ndarray, "models patients seeds"]
"""NaN where a model has no value."""
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


@dataclass(frozen=True)
class SeedVariance:
    """Variance between trainings that several models share, and its degrees of freedom; 0 and 0: unknown."""

    value: float = 0.0
    df: int = 0


@dataclass(frozen=True)
class Mean:
    """A mean over patients and seeds. `t`: standard errors between it and 0; `df`: their degrees of freedom."""

    value: float
    error: float
    t: float
    df: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Ends of the interval that holds the true mean with probability 1 - level."""
        half = -float(special.stdtrit(self.df, level / 2)) * self.error
        return self.value - half, self.value + half

    @property
    def chance(self) -> float:
        """Two-sided p of t."""
        return float(2 * special.stdtr(self.df, -abs(self.t)))


def mean_of(values: Values, shared: SeedVariance | None = None) -> Mean:
    """Mean over patients and seeds, which are random and crossed; NaN errors under three patients.

    Its variance is (MS_patients + MS_seeds - MS_rest) / (patients x seeds), not less than the part of the patients; the
    degrees of freedom are Satterthwaite's (1946). `shared`: a variance between trainings that MS_seeds may exceed, not
    undercut: a few seeds that agree by luck do not make a small error.
    """
    patients, seeds = values.shape
    mean = float(values.mean()) if values.size else np.nan
    if patients < FEWEST_PATIENTS:
        return Mean(mean, np.nan, np.nan, np.nan)
    by_patient = values.mean(axis=1) - mean
    of_patients = float((by_patient**2).sum()) / (patients - 1) / patients
    variance, df = of_patients, float(patients - 1)
    if seeds > 1:
        by_seed = values.mean(axis=0) - mean
        rest = values - mean - by_patient[:, None] - by_seed[None]
        rest_df = (patients - 1) * (seeds - 1)
        of_rest = float((rest**2).sum()) / rest_df / values.size
        of_seeds, seeds_df = float((by_seed**2).sum()) / (seeds - 1) / seeds, seeds - 1
        if shared and shared.value / seeds > of_seeds:
            of_seeds, seeds_df = shared.value / seeds, shared.df
        if of_seeds > of_rest:
            variance = of_patients + of_seeds - of_rest
            parts = of_patients**2 / (patients - 1) + of_seeds**2 / seeds_df + of_rest**2 / rest_df
            df = variance**2 / parts
    error = float(np.sqrt(variance))
    return Mean(mean, error, mean / error if error > 0 else np.sign(mean) * np.inf if mean else 0.0, df)


def complete(values: Values) -> Values:
    """The seeds that have values, and the patients with a value for each of them."""
    there = values[:, np.isfinite(values).any(axis=0)]
    return there[np.isfinite(there).all(axis=1)]


def paired(difference: Values) -> PairedTest:
    """Test whether two models differ on average. `difference`: one minus the other; NaN where either has no value.

    The p is the share of all sign flips of the patients (from 15 patients on: of 10,000) with a t at least as large as
    the observed one, in which the variance between trainings counts. One seed: a statement about that training.
    """
    values = complete(difference)
    mean = mean_of(values)
    tests = _Tests.of([values], [mean])
    p = tests.share(mean.chance, 0) if len(values) >= FEWEST_PATIENTS else np.nan
    low, high = mean.interval()
    return PairedTest(mean.value, low, high, p, len(values), values.shape[1], _effect(values))


def _effect(values: Values) -> float:
    patients, seeds = values.shape
    if patients < FEWEST_PATIENTS:
        return np.nan
    mean, spread = float(values.mean()), float(values.mean(axis=1).std(ddof=1))
    if seeds > 1:
        rest = values - values.mean(axis=1, keepdims=True)
        of_rest = float((rest - rest.mean(axis=0)).var()) * seeds / (seeds - 1) / (patients - 1)
        between = max(float(values.mean(axis=0).var(ddof=1)) - of_rest, 0) / seeds
        if abs(mean) < -special.stdtrit(seeds - 1, LEVEL / 2) * np.sqrt(between):
            return 0.0
    return abs(mean) / spread if spread > 0 else np.inf if mean else 0.0


def adjusted(groups: Sequence[Sequence[ModelValues]]) -> list[list[Float[np.ndarray, "pairs"]]]:
    """The corrected p of every two models (`pairs_of`) in all arrays: step-down min-P (Westfall and Young 1993).

    The arrays of a group have the same patients, whose signs flip together: the correlation of the tests is kept, and
    tests that stand twice count once. Groups are taken as independent (Šidák 1967). If no model differs from another,
    a study has a p under 0.05 with a probability of 5 %. NaN for pairs with under three patients, which do not count.
    No corrected p is under that of `paired`.
    """
    shapes = [[len(models) for models in arrays] for arrays in groups]
    tests = [_Tests.of(*_differences(arrays)) for arrays in groups]
    chances = np.concatenate([each.chances for each in tests]) if tests else np.zeros(0)
    owners = np.repeat(np.arange(len(tests)), [len(each.chances) for each in tests])
    corrected, passed, highest = np.full(len(chances), np.nan), [0] * len(tests), 0.0
    for place in np.argsort(chances, kind="stable")[: int(np.isfinite(chances).sum())]:
        none = np.prod([1 - each.share(chances[place], passed[i]) for i, each in enumerate(tests)])
        highest = max(highest, 1 - float(none))
        corrected[place] = highest
        passed[owners[place]] += 1
    alone = [paired(a - b).p for arrays in groups for models in arrays for a, b in pairs_of(models)]
    corrected = np.maximum(corrected, alone)
    ends = np.cumsum([0, *(size * (size - 1) // 2 for sizes in shapes for size in sizes)])
    parts = iter([corrected[start:end] for start, end in pairwise(ends)])
    return [[next(parts) for _ in sizes] for sizes in shapes]


def pairs_of(models: ModelValues) -> Iterator[tuple[Values, Values]]:
    """Every two models once: the first with each later one, then the second."""
    return combinations(models, 2)


def _differences(arrays: Sequence[ModelValues]) -> tuple[list[Values], list[Mean]]:
    """The difference of every two models, and its mean, with a variance between trainings that the models share."""
    differences, means = [], []
    for models in arrays:
        variances = [_between_seeds(complete(values)) for values in models]
        known = [(variance, df) for variance, df in variances if variance > 0]
        df = sum(df for _, df in known)
        pooled = sum(variance * df for variance, df in known) / df if df else 0.0
        trained = [variance > 0 for variance, _ in variances]
        for (a, b), (of_a, of_b) in zip(pairs_of(models), combinations(trained, 2), strict=True):
            differences.append(a - b)
            means.append(mean_of(complete(a - b), SeedVariance(pooled * (of_a + of_b), df)))
    return differences, means


def _between_seeds(values: Values) -> tuple[float, int]:
    """Variance between trainings of a model's mean over patients, and its degrees of freedom."""
    seeds = values.shape[1]
    return (float(values.mean(axis=0).var(ddof=1)), seeds - 1) if seeds > 1 and len(values) else (0.0, 0)


@dataclass(frozen=True)
class _Tests:
    """Tests on the same patients. `chances`: two-sided p of t of each."""

    chances: Float[np.ndarray, "tests"]
    patients: int
    largest: Float[np.ndarray, "flips ranks"]
    """Sorted, by rank: the largest ratio in each flip of the tests with this rank of `chances` or a later one."""

    @classmethod
    def of(cls, differences: Sequence[Values], means: Sequence[Mean]) -> _Tests:
        chances = np.array([mean.chance for mean in means])
        order = np.argsort(chances, kind="stable")[: int(np.isfinite(chances).sum())]
        if not len(order):
            return cls(chances, 0, np.zeros((1, 0)))
        patients = max(len(complete(differences[i])) for i in order)
        ratios = _ratios([differences[i] for i in order], patients)
        largest = np.maximum.accumulate(ratios[:, ::-1], axis=1)[:, ::-1]
        return cls(chances, patients, np.sort(largest, axis=0))

    def share(self, chance: float, rank: int) -> float:
        """How probable it is that any test from this rank on has such a p of t or a smaller one by chance."""
        flips, ranks = self.largest.shape
        if rank >= ranks:
            return 0.0
        ratio = float(_ratio_of(np.array(chance), self.patients)) - ROUNDING
        above = flips - int(np.searchsorted(self.largest[:, rank], ratio))
        return (1 + above) / (1 + flips) if flips == DRAWS else above / flips


def _ratio_of(chance: Float[np.ndarray, "*n"], patients: int) -> Float[np.ndarray, "*n"]:
    """The ratio |sum| / sqrt(patients x sum of squares) whose t has this two-sided p; from 0 to 1."""
    t = special.stdtrit(patients - 1, np.minimum(chance, 1) / 2)
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


def bootstrap_weights(subjects: Sequence[str], resamples: int) -> Weights | None:
    """How often each scan occurs in each bootstrap sample of patients; None under three patients.

    The same patients give the same samples, so that models are compared on equal ones.
    """
    patient = patient_index(subjects)
    patients = int(patient.max()) + 1 if patient.size else 0
    if patients < FEWEST_PATIENTS:
        return None
    drawn = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), size=resamples)
    return drawn[:, patient].astype(float)


def interval(values: Float[np.ndarray, "resamples"] | None) -> tuple[float, float]:
    """The 95 % percentile interval; NaN without resamples. Resamples without a value (NaN) are excluded."""
    if values is None or not np.isfinite(values).any():
        return np.nan, np.nan
    low, high = np.percentile(values[np.isfinite(values)], [2.5, 97.5])
    return float(low), float(high)


def ratio(
    numerator: Float[np.ndarray, "scans"], denominator: Float[np.ndarray, "scans"], weights: Weights | None
) -> Number:
    """Sum of `numerator` over sum of `denominator`, with its interval; NaN where the divisor is 0."""

    def weighted(each: Float[np.ndarray, "*resamples scans"]) -> Float[np.ndarray, "*resamples"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((each @ numerator) / (each @ denominator))

    return float(weighted(np.ones(len(numerator)))), *interval(None if weights is None else weighted(weights))


def patient_mean(values: Float[np.ndarray, "scans"], subjects: Sequence[str], weights: Weights | None) -> Number:
    """Mean over patients of the mean over their scans, with its interval; scans without a value (NaN) are excluded."""
    patient, valid = patient_index(subjects), np.isfinite(values)
    scans = np.bincount(patient[valid], minlength=int(patient.max(initial=-1)) + 1)
    share = np.where(valid, 1 / np.maximum(scans[patient], 1), 0.0)
    return ratio(np.where(valid, values, 0) * share, share, weights)
