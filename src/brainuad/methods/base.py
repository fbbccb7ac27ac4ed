"""What every method can do. A method is fitted on healthy scans and maps a scan to anomalies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from brainuad.errors import InputError

Image = Float[np.ndarray, "x y z"]
Brain = Bool[np.ndarray, "x y z"]
Sign = Literal["dark", "bright", "both"]


@dataclass(frozen=True)
class TrainingScans:
    """Healthy scans on one grid that a method learns from or is checked on. `spacing`: voxel size in mm.

    The volumes may be views of files: read one at a time.
    """

    images: Sequence[Image]
    brains: list[Brain]
    spacing: tuple[float, float, float]


class Method(ABC):
    """The contract. State is plain arrays (`state`) beside the settings, so that nothing is ever pickled.

    Maps are float32, (x, y, z) as the scan, higher = more abnormal, may be negative, 0 outside the brain, and never
    rescaled by scan.
    """

    @abstractmethod
    def fit(self, training: TrainingScans) -> None:
        """Learn from healthy scans; a network, which the train stage has trained, learns what residuals are normal."""

    @abstractmethod
    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """The map of one scan; `sign`: how lesions differ from healthy tissue."""

    def reconstruct(self, image: Image, brain: Brain) -> Image | None:  # noqa: ARG002
        """What the model of health makes of the scan, or None where a method has no reconstruction."""
        return None

    def predict(
        self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> tuple[Image, Image | None]:
        """Map and reconstruction of one scan at once."""
        return self.anomaly_map(image, brain, spacing, sign), self.reconstruct(image, brain)

    def anomaly_score(self, anomaly: Image, brain: Brain, image: Image) -> float:  # noqa: ARG002
        """One number for the scan `image`, whose map is `anomaly`: the mean over the brain of the map's positive part.

        Without that, tissue that is abnormal the other way would cancel out a lesion in a signed map.
        """
        return float(np.maximum(anomaly[brain], 0).mean()) if brain.any() else 0.0

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Everything learnt, by name."""

    @abstractmethod
    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""

    def facts(self) -> dict[str, Any]:
        """Numbers for the run record, e.g. the count of trainable parameters."""
        return {}


def check_finite(anomaly: Image, name: str) -> Image:
    """The map as float32; raises InputError if it holds NaN or infinity."""
    if not np.isfinite(anomaly).all():
        raise InputError(f"the anomaly map of {name} holds NaN", do="see the loss in metrics.csv, then train again")
    return np.asarray(anomaly, dtype=np.float32)
