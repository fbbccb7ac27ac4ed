"""Exact intervals of shares, such as sensitivity and specificity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from scipy import special

from brainuad.metrics.registry import Estimate
from brainuad.metrics.statistics import patient_index


def share(found: Bool[np.ndarray, "scans"], people: Sequence[str]) -> Estimate:
    """The share of scans that are found, with its 95 % interval of Clopper and Pearson (1934); NaN without scans.

    Several scans of a person count as one observation: the interval is that of n = (sum of m)^2 / (sum of m^2) scans
    (Kish 1965), m being each person's scans. With one scan each that is their number; otherwise it is too wide rather
    than too narrow, as if the scans of a person were always found together.
    """
    scans = len(found)
    if not scans:
        return Estimate(np.nan, n=0)
    each = np.bincount(patient_index(people))
    effective = scans**2 / float((each**2).sum())
    value = float(found.mean())
    some, rest = value * effective, (1 - value) * effective  # no whole numbers, which binomtest asks for
    low = special.betaincinv(some, rest + 1, 0.025) if found.any() else 0.0
    high = special.betaincinv(some + 1, rest, 0.975) if not found.all() else 1.0
    return Estimate(value, float(low), float(high), scans)
