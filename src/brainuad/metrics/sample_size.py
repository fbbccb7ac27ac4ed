"""How many patients a comparison would need."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy import special

from brainuad.metrics.statistics import FEWEST_DECIDED, LEVEL

POWER = 0.8
MOST = 10_000
"""Patients; what needs more is out of reach."""


@cache
def corrected_level(models: int, families: int) -> float:
    """The level of one test among all pairs of models, in several families together.

    By Tukey's range of as many equal means, on any number of patients; families as independent (Šidák).
    """
    level = 1 - (1 - LEVEL) ** (1 / max(families, 1))
    if models < 3:
        return level
    from scipy import stats  # slow to import

    return float(2 * special.ndtr(-stats.studentized_range.isf(level, models, np.inf) / np.sqrt(2)))


def needed(effects: Float[np.ndarray, "n"], levels: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Patients with which a t test at this level finds a mean of so many standard deviations, with 80 % power.

    NaN where more than 10,000 would be needed.
    """
    low, high = np.full(len(effects), FEWEST_DECIDED - 1.0), np.full(len(effects), float(MOST))
    reached = _power(effects, high, levels) >= POWER
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = _power(effects, middle, levels) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reached, np.maximum(high, FEWEST_DECIDED), np.nan)


def _power(
    effects: Float[np.ndarray, "n"], patients: Float[np.ndarray, "n"], levels: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    from statsmodels.stats.power import TTestPower  # slow to import

    with np.errstate(all="ignore"):
        exact = TTestPower().power(effects, patients, levels)
    normal = special.ndtr(effects * np.sqrt(patients) + special.ndtri(levels / 2))
    return np.where(np.isfinite(exact), exact, normal)  # the distribution of t has gaps far from its centre
