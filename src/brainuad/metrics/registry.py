"""What a metric is: a function with a name, a label, a direction and a unit, declared in one place.

A metric is a function of one type of evidence (`evidence.py`). Its docstring is its description in `docs/columns.md`.
Every metric in a module that `brainuad.metrics` lists is computed, documented, and, if declared so, shown in the
comparison table and tracked in MLflow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np

E = TypeVar("E")
Direction = Literal["higher", "lower", "neither"]
ORACLE = "oracle"
"""Threshold rule of numbers at the best threshold before mask operators, chosen on the test labels: no results, and no
upper bounds either, as mask operators can make a mask better than any threshold does."""
NO_RULE = "none"
"""Threshold rule of numbers that need no threshold."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval (NaN: none), and how many scans it rests on."""

    value: float
    low: float = np.nan
    high: float = np.nan
    n: int = 0


@dataclass(frozen=True)
class Column:
    """The columns of a metric in the comparison table: one per threshold rule."""

    digits: int = 3
    """Decimals."""
    every_rule: bool = True
    """False: only the first threshold rule that has a value; the table of all metrics holds the rest."""
    instead_of: str = ""
    """Name of another metric: the column is left out where that metric has values."""
    quantity: str = ""
    """What is measured. The terminal shows one column per quantity, the first one. Default: the metric's name."""


@dataclass(frozen=True)
class Metric:
    """A declared metric; calling it computes it."""

    name: str
    """In `metrics.tsv`. `<lesion_type>` or `<lesion_size>` in it: one row for each, with its name there."""
    label: str
    """Head of its column."""
    direction: Direction
    """Which values are better."""
    unit: str
    description: str
    column: Column | None
    """None: not in the comparison table."""
    tracked: bool
    """Whether it is a column of the saved views in MLflow."""
    evidence: type
    """What it is computed from."""
    compute: Callable[[Any], Any]
    """Evidence on a data set to an Estimate, or None where undefined; evidence on one scan to a number or NaN."""

    def __call__(self, evidence: Any) -> Any:
        """Compute the metric."""
        return self.compute(evidence)

    @property
    def part(self) -> str:
        """By what the metric splits the data set: lesion_type, lesion_size, or empty."""
        found = re.search("<(.+)>", self.name)
        return found[1] if found else ""

    def name_of(self, part: str) -> str:
        """The name for one part of the data set, such as one lesion type."""
        return re.sub("<.+>", part, self.name)

    def overload(self, evidence: type[E]) -> Callable[[Callable[[E], Any]], Metric]:
        """Declare how the same metric is computed from other evidence."""

        def declare(function: Callable[[E], Any]) -> Metric:
            return replace(self, evidence=evidence, compute=function)

        return declare


def metric(
    evidence: type[E],
    *,
    label: str,
    direction: Direction,
    unit: str = "",
    name: str = "",
    shown: Column | bool = False,
    tracked: bool = False,
) -> Callable[[Callable[[E], Any]], Metric]:
    """Declare a function as a metric; the fields are those of `Metric`. `name`: by default that of the function."""

    def declare(function: Callable[[E], Any]) -> Metric:
        return Metric(
            name=name or function.__name__,
            label=label,
            direction=direction,
            unit=unit,
            description=" ".join((function.__doc__ or "").split()),
            column=Column() if shown is True else shown or None,
            tracked=tracked,
            evidence=evidence,
            compute=function,
        )

    return declare
