"""How well networks reconstruct healthy scans. The residual of one that does not shows the scan, not its lesions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainuad.config.study import Study


@dataclass(frozen=True)
class ReconstructionQuality:
    """Means over healthy validation and test scans, and over seeds."""

    explained: float
    """Share of the variance in the brain that the reconstruction explains, at most 1."""
    correlation: float
    """Pearson correlation of scan and reconstruction in the brain."""

    @property
    def poor(self) -> bool:
        """Whether each scan's own mean would be as good a reconstruction."""
        return self.explained <= 0

    def __str__(self) -> str:
        share = f"{self.explained:.2f}" if self.explained > -1 else "below -1"
        return f"{share} of the variance, correlation {self.correlation:.2f}"


def reconstruction_quality(study: Study, records: Iterable[Mapping[str, Any]]) -> dict[str, ReconstructionQuality]:
    """By the label of each training. `records`: run records; those of infer on the training data sets count."""
    healthy = {label for label, d in study.scan_sets().items() if d.split and d.split.train}
    numbers: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        tags, facts = record["tags"], record["facts"]
        reconstructed = record["stage"] == "infer" and "reconstruction_explained_variance" in facts
        if reconstructed and tags.get("dataset") in healthy:
            both = float(facts["reconstruction_explained_variance"]), float(facts["reconstruction_correlation"])
            numbers.setdefault(study.trainings()[tags["model"]], []).append(both)
    return {label: ReconstructionQuality(*map(float, np.mean(each, axis=0))) for label, each in numbers.items()}
