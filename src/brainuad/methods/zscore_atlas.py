"""Voxel-wise z-score against an atlas of healthy scans: the strongest of the simple baselines.

Source: docs/methods/baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from brainuad.config.model import TOLD_ELSEWHERE, MethodSettings, Several
from brainuad.config.told import Told
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite
from brainuad.methods.shared.finishing import StandardisedMap, finished
from brainuad.methods.shared.residual import Accumulator, Statistics, standardise


class Settings(MethodSettings):
    """Voxel-wise z-score against the healthy training scans, scan and atlas smoothed alike."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = True
    several: ClassVar[Several] = "each"

    family: Literal["zscore_atlas"]
    smooth_mm: float = Field(4.0, ge=0)
    """Sigma of the smoothing of scans before mean and sd are taken, in mm."""
    map: StandardisedMap = StandardisedMap(smooth_mm=2.0)

    def describe(self) -> list[str]:
        told = Told(self)
        how = (
            f"Scans are smoothed by a Gaussian of sigma {told.smooth_mm:g} mm, then the mean and the sd of each voxel "
        )
        how += "over the healthy training scans are taken; scans are smoothed alike before they are compared."
        return ["an atlas of healthy scans", how, *told.rest(*TOLD_ELSEWHERE)]

    @classmethod
    def method_class(cls) -> type[Any]:
        return AtlasDistance


class AtlasDistance(Method):
    """Map: (smoothed scan - mean) / sd of the smoothed training scans, smoothed again, signed; in units of sd."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.atlas: Statistics | None = None

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        atlas = Accumulator(training.images[0].shape)
        for image, brain in zip(training.images, training.brains, strict=True):
            atlas.add(_smooth(image, brain, self.settings.smooth_mm, training.spacing), brain)
        self.atlas = atlas.result()

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        if self.atlas is None:
            raise InputError("zscore_atlas has no atlas yet", do="train it first")
        smooth = _smooth(image, brain, self.settings.smooth_mm, spacing)
        z = standardise(smooth, brain, self.atlas, self.settings.map)
        return check_finite(finished(z, brain, spacing, sign, self.settings.map), "zscore_atlas")

    def state(self) -> dict[str, np.ndarray]:
        return {} if self.atlas is None else self.atlas.state("atlas")

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.atlas = Statistics.load(state, "atlas")


def _smooth(image: Image, brain: Brain, sigma_mm: float, spacing: tuple[float, float, float]) -> Image:
    from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

    return smooth_inside(image, brain, sigma_mm, spacing)
