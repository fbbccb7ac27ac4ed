"""Split-conformal p values and cuts of anomaly scores, from healthy people that the model has not learnt from.

Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005); Bates et al., Testing for outliers
with conformal p-values, Annals of Statistics 51 (2023). They hold on average over the people that happened to be drawn,
if those and a new healthy person are exchangeable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Scores = Float[np.ndarray, "n"]
ROUNDING = 1e-9


@dataclass(frozen=True)
class Cut:
    """A cut of scores. A score above `threshold` is called abnormal.

    `specificity`: the share of new healthy people whose scores all stay at or under it, on average; it is under what
    was asked for where `people`, on whom it rests, are too few.
    """

    threshold: float
    specificity: float
    people: int


def highest_of_each(scores: Iterable[tuple[str, float]]) -> Scores:
    """The highest score of each person, ascending: scans of a person are not exchangeable with those of others."""
    highest: dict[str, float] = {}
    for person, score in scores:
        highest[person] = max(score, highest.get(person, -np.inf))
    return np.sort(np.array(list(highest.values()), dtype=float))


def p_values(healthy: Scores, scores: Scores) -> Scores:
    """(1 + number of healthy people who reach the score) / (n + 1); `healthy`: ascending. The smallest is 1 / (n + 1).

    A new healthy person has a p of at most any level with at most that probability.
    """
    reached = len(healthy) - np.searchsorted(healthy, scores, side="left")
    return np.asarray((1 + reached) / (len(healthy) + 1))


def cut(healthy: Scores, specificity: float) -> Cut:
    """The ceil((n + 1) * specificity)-th smallest score, or the highest where n is too small for that.

    `healthy`: ascending, one score a person. Above the cut a score has a p of at most 1 - specificity.
    """
    n = len(healthy)
    place = math.ceil((n + 1) * specificity - ROUNDING)
    if place > n:
        return Cut(float(healthy[-1]), n / (n + 1), n)
    return Cut(float(healthy[place - 1]), specificity, n)


def fewest(level: float) -> int:
    """How many healthy people a p of at most `level` needs."""
    return math.ceil(1 / level - 1 - ROUNDING)
