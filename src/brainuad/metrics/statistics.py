"""Bootstrap intervals and tests over patients: all scans of a patient (sessions, draws) are resampled together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Weights = Float[np.ndarray, "resamples scans"]
Number = tuple[float, float, float]
"""A value and both ends of its 95 % interval."""

FEWEST_PATIENTS = 3
"""Under this number no interval and no test is given."""


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


def paired(difference: Float[np.ndarray, "patients"], resamples: int) -> tuple[float, float, float, float]:
    """Mean difference, its 95 % bootstrap interval, and the two-sided Wilcoxon signed-rank p; NaN under three patients.

    Without any difference p is 1.
    """
    mean = float(difference.mean())
    names = [f"{i:06d}" for i in range(len(difference))]
    weights = bootstrap_weights(names, resamples)
    if weights is None:
        return mean, np.nan, np.nan, np.nan
    low, high = interval(weights @ difference / len(difference))
    return mean, low, high, float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


def holm(p: Float[np.ndarray, "tests"]) -> Float[np.ndarray, "tests"]:
    """P values corrected for their number by Holm's step-down (1979); NaN stays and does not count."""
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p, kind="stable") if np.isfinite(p[i])]
    steps = [min(1.0, (len(order) - rank) * p[i]) for rank, i in enumerate(order)]
    corrected[order] = np.maximum.accumulate(steps) if order else []
    return corrected
