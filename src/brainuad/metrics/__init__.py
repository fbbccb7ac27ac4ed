"""The metrics: each is declared once, with `@metric`, in one of the modules listed here.

To add one, write a function there. Rows of `metrics.tsv` have the order of the functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from types import ModuleType

from brainuad.metrics import (
    boundary_metrics,
    healthy_metrics,
    map_metrics,
    mask_metrics,
    peak_metrics,
    reconstruction_metrics,
    scan_metrics,
)
from brainuad.metrics.evidence import Evidence
from brainuad.metrics.registry import Estimate, Metric


def declared(*modules: ModuleType) -> tuple[Metric, ...]:
    """The metrics of these modules, in the order they are written; an overload has the name of its metric."""
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Metric))
    return tuple(found)


METRICS = declared(
    map_metrics,
    mask_metrics,
    healthy_metrics,
    boundary_metrics,
    scan_metrics,
    peak_metrics,
    reconstruction_metrics,
)
PRIMARY = map_metrics.auprc_scan
"""The number by which models are compared: the first column, and the one whose differences are tested."""


def by_name() -> dict[str, Metric]:
    """The metrics by name, the primary one first."""
    found: dict[str, Metric] = {}
    for metric in (PRIMARY, *METRICS):
        found.setdefault(metric.name, metric)
    return found


def of(evidence: type) -> list[Metric]:
    """The metrics that are computed from this type of evidence."""
    return [metric for metric in METRICS if metric.evidence is evidence]


def estimates(evidence: Evidence) -> Iterator[tuple[str, Estimate]]:
    """Names and values of all metrics of the evidence; those of parts of the data set go part by part."""
    for by, group in groupby(of(type(evidence)), key=lambda metric: metric.part):
        metrics = list(group)
        for name, part in evidence.parts(by) if by else [("", evidence)]:
            for metric in metrics:
                if (estimate := metric(part)) is not None:
                    yield metric.name_of(name), estimate
