"""The contract of a method: it is fitted on healthy scans and maps a scan to anomalies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.datasets import Sign as Sign  # methods import it from here
from brainuad.errors import InputError

if TYPE_CHECKING:
    from brainuad.methods.shared.neural import NeuralMethod

Image = Float[np.ndarray, "x y z"]
Brain = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class TrainingScans:
    """Healthy scans on one grid, for training or validation. `spacing`: voxel size in mm.

    The images may be views of files: read one at a time.
    """

    images: Sequence[Image]
    brains: list[Brain]
    spacing: tuple[float, float, float]


class Method(ABC):
    """A method, built from its family's `Settings`. Its state is plain arrays, so that nothing is ever pickled.

    A method that learns overrides `fit`, `state` and `load`, one that reconstructs scans `reconstruct`, one that uses a
    GPU `to`; its `Settings` declare which of these it does. A method with a network derives from
    `shared.neural.NeuralMethod`.
    """

    def initialise(self, seed: int) -> None:  # noqa: B027 - nothing to draw unless a method says so
        """Draw whatever is random before training, e.g. the first weights."""

    def neural(self) -> NeuralMethod | None:
        """Itself, for a method whose network the train stage must train before `fit`; else None."""
        return None

    def to(self, accelerator: str) -> None:  # noqa: B027 - a method runs on the CPU unless it says otherwise
        """Move to `cpu`, `gpu`, or with `auto` to a GPU if there is one."""

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: B027
        """Learn from healthy scans. A network has been trained by then, and learns which residuals are normal.

        `held_out`: the healthy validation scans, which no network was trained on; None if there are none.
        """

    @abstractmethod
    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """The anomaly map of one scan: float32, (x, y, z) as the scan, higher = more abnormal, 0 outside the brain.

        May be negative; not rescaled by scan, for which there is `map.per_scan`. `spacing`: voxel size in mm; `sign`:
        how lesions differ from healthy tissue.
        """

    def combined_map(self, maps: Sequence[Image], brain: Brain, scored: Brain) -> Image:  # noqa: ARG002
        """The map of one scan from those of the models in `MethodSettings.member_labels`, in their order.

        `scored`: the brain without the rim that is not scored. Raises InputError in a method that maps scans itself.
        """
        raise InputError(f"{type(self).__name__} combines no maps", do="give its settings no member_labels")

    def reconstruct(self, image: Image, brain: Brain) -> Image | None:  # noqa: ARG002
        """The scan as the model of health reconstructs it, or None for a method without reconstructions."""
        return None

    def predict(
        self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> tuple[Image, Image | None]:
        """Map and reconstruction of one scan."""
        return self.anomaly_map(image, brain, spacing, sign), self.reconstruct(image, brain)

    def anomaly_score(self, anomaly: Image, brain: Brain, image: Image) -> float:  # noqa: ARG002
        """One number for the scan `image` with the map `anomaly`: the mean over the brain of the map's positive part.

        With negative values counted, tissue that is abnormal the other way would cancel out a lesion in a signed map.
        """
        return float(np.maximum(anomaly[brain], 0).mean()) if brain.any() else 0.0

    def state(self) -> dict[str, np.ndarray]:
        """Everything learnt, by name."""
        return {}

    def load(self, state: Mapping[str, np.ndarray]) -> None:  # noqa: B027 - nothing learnt, nothing to load
        """Restore what `state` returned. Raises InputError if a part is missing."""

    def facts(self) -> dict[str, Any]:
        """Numbers for the run record, e.g. the count of trainable parameters."""
        return {}


def check_finite(anomaly: Image, name: str) -> Image:
    """The map as float32; raises InputError if it holds NaN or infinity."""
    if not np.isfinite(anomaly).all():
        raise InputError(f"the anomaly map of {name} holds NaN", do="see the loss in metrics.csv, then train again")
    return np.asarray(anomaly, dtype=np.float32)
