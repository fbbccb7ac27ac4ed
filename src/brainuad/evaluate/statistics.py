"""Intervals and tests over patients: all scans of a patient (sessions, draws) are resampled together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Weights = Float[np.ndarray, "resamples scans"]

FEWEST = 3
"""Patients below which no interval or test is given."""


def patient_index(subjects: Sequence[str]) -> Int[np.ndarray, "scans"]:
    """The patient of each scan, as a number from 0 on."""
    return np.unique(np.asarray(subjects, dtype=str), return_inverse=True)[1]


def resamples(subjects: Sequence[str], count: int) -> Weights | None:
    """How often each scan stands in each of `count` bootstrap samples of patients; None under three patients.

    The same patients give the same samples, so that models are compared on equal ones.
    """
    patient = patient_index(subjects)
    patients = int(patient.max()) + 1 if patient.size else 0
    if patients < FEWEST:
        return None
    drawn = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), size=count)
    return drawn[:, patient].astype(float)


def interval(values: Float[np.ndarray, "resamples"] | None) -> tuple[float, float]:
    """The 95 % percentile interval; NaN without resamples. Resamples without a value (NaN) are left out."""
    if values is None or not np.isfinite(values).any():
        return np.nan, np.nan
    low, high = np.percentile(values[np.isfinite(values)], [2.5, 97.5])
    return float(low), float(high)


def ratio(
    above: Float[np.ndarray, "scans"], below: Float[np.ndarray, "scans"], weights: Weights | None
) -> tuple[float, float, float]:
    """Sum of `above` over sum of `below`, with its interval; NaN where the divisor is 0."""

    def of(each: Float[np.ndarray, "*resamples scans"]) -> Float[np.ndarray, "*resamples"]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((each @ above) / (each @ below))

    return float(of(np.ones(len(above)))), *interval(None if weights is None else of(weights))


def patient_mean(
    values: Float[np.ndarray, "scans"], subjects: Sequence[str], weights: Weights | None
) -> tuple[float, float, float]:
    """Mean over patients of the mean over their scans, with its interval; scans without a value (NaN) are left out."""
    patient, valid = patient_index(subjects), np.isfinite(values)
    scans = np.bincount(patient[valid], minlength=int(patient.max(initial=-1)) + 1)
    share = np.where(valid, 1 / np.maximum(scans[patient], 1), 0.0)
    return ratio(np.where(valid, values, 0) * share, share, weights)


def paired(difference: Float[np.ndarray, "patients"], count: int) -> tuple[float, float, float, float]:
    """Mean difference, its 95 % bootstrap interval, and the two-sided Wilcoxon signed-rank p; NaN under three patients.

    Without any difference p is 1.
    """
    mean = float(difference.mean())
    names = [f"{i:06d}" for i in range(len(difference))]
    weights = resamples(names, count)
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
