"""The scan itself after histogram equalisation: what any model of health has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from brainuad.config.model import ThreshHisteq
from brainuad.images.equalise import equalise
from brainuad.images.smooth import smooth_inside
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite


class EqualisedIntensity(Method):
    """Map: the share of the scan's brain voxels that are darker than this one, for bright lesions.

    For dark ones the share that is brighter; for both, twice the distance of the former from one half.
    Source: Meissen et al. 2021; models.md 3.1.
    """

    def __init__(self, settings: ThreshHisteq):
        self.settings = settings

    def fit(self, training: TrainingScans) -> None:
        """Nothing is learnt."""

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """In [0, 1]."""
        rank = equalise(image, brain, self.settings.map.levels)
        rank = {"bright": rank, "dark": 1 - rank, "both": np.abs(2 * rank - 1)}[sign]
        return check_finite(smooth_inside(rank, brain, self.settings.map.smooth_mm, spacing), "thresh_histeq")

    def state(self) -> dict[str, np.ndarray]:
        """Nothing."""
        return {}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Nothing."""


METHOD = EqualisedIntensity
