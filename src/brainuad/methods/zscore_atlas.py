"""Voxel-wise z-score against an atlas of healthy scans: the baseline that is hard to beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from brainuad.config.model import ZscoreAtlas
from brainuad.errors import InputError
from brainuad.images.smooth import smooth_inside
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite
from brainuad.methods.residual import Accumulator, Statistics, signed, standardise


class AtlasDistance(Method):
    """Map: (smoothed scan - mean) / sd of the smoothed training scans, smoothed again, signed; in units of sd.

    Scan and atlas are smoothed alike: smoothing the atlas alone is worse than either. Source: models.md 3.1.
    """

    def __init__(self, settings: ZscoreAtlas):
        self.settings = settings
        self.atlas: Statistics | None = None

    def fit(self, training: TrainingScans) -> None:
        """Mean and sd per voxel."""
        atlas = Accumulator(training.images[0].shape)
        for image, brain in zip(training.images, training.brains, strict=True):
            atlas.add(smooth_inside(image, brain, self.settings.smooth_mm, training.spacing), brain)
        self.atlas = atlas.result()

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """In units of the healthy sd."""
        if self.atlas is None:
            raise InputError("zscore_atlas has no atlas yet", do="train it first")
        smooth = smooth_inside(image, brain, self.settings.smooth_mm, spacing)
        z = standardise(smooth, brain, self.atlas, self.settings.map)
        z = smooth_inside(z, brain, self.settings.map.smooth_mm, spacing)
        return check_finite(signed(z, sign), "zscore_atlas")

    def state(self) -> dict[str, np.ndarray]:
        """The atlas."""
        return {} if self.atlas is None else self.atlas.state("atlas")

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """The atlas."""
        self.atlas = Statistics.load(state, "atlas")


METHOD = AtlasDistance
