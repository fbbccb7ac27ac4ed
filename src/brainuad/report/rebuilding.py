"""Whether networks rebuild healthy scans at all: a map of one that does not shows the scan, not its lesions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainuad.config.study import Study


@dataclass(frozen=True)
class Rebuilding:
    """Means over healthy validation and test scans, and over seeds; as `infer.maps.fidelity` has them."""

    explained: float
    correlation: float

    @property
    def poor(self) -> bool:
        """Whether each scan's own mean would have done as well."""
        return self.explained <= 0

    def __str__(self) -> str:
        share = f"{self.explained:.2f}" if self.explained > -1 else "below -1"
        return f"{share} of the variance, correlation {self.correlation:.2f}"


def rebuilding(study: Study, records: Iterable[Mapping[str, Any]]) -> dict[str, Rebuilding]:
    """By the label of each training, from the records of infer on the sets that healthy training scans came from."""
    healthy = {label for label, d in study.scan_sets().items() if d.split and d.split.train}
    found: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        tags, facts = record["tags"], record["facts"]
        if record["stage"] == "infer" and tags.get("dataset") in healthy and "rebuilt_explained" in facts:
            numbers = float(facts["rebuilt_explained"]), float(facts["rebuilt_correlation"])
            found.setdefault(study.trainings()[tags["model"]], []).append(numbers)
    return {label: Rebuilding(*map(float, np.mean(rows, axis=0))) for label, rows in found.items()}
