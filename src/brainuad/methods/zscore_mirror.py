"""z-score of the difference between left and right, alone or summed with the z-score of each voxel.

Source: docs/methods/baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from brainuad.config.model import TOLD_ELSEWHERE, MethodSettings, Several
from brainuad.config.told import Told
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite
from brainuad.methods.shared.finishing import FinishedMap, finished
from brainuad.methods.shared.healthy_atlas import AtlasSettings, Feature, HealthyAtlas


class MirrorMap(FinishedMap):
    """How the atlas turns a scan into a map."""

    of: Literal["difference", "sum"] = "difference"
    """`difference`: z-score of the scan minus its mirror image, which a lesion in the same place of both sides leaves
    at 0. `sum`: that, times `difference_weight`, plus the z-score of the scan."""
    difference_weight: float = Field(0.7, gt=0)
    """Of the difference in the `sum`."""
    atlas: AtlasSettings = AtlasSettings()

    def shown(self, told: Told) -> str:
        of = "the scan minus its mirror image (left and right exchanged)"
        if told.of == "sum":
            of = f"the scan, plus {told.difference_weight:g} times that of {of},"
        for name in AtlasSettings.model_fields:
            getattr(told.atlas, name)  # told by `words`
        return f"is the z-score of {of} against the healthy training scans {self.atlas.words()}"


class Settings(MethodSettings):
    """z-score of the difference between left and right against the healthy training scans."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = True
    several: ClassVar[Several] = "each"

    family: Literal["zscore_mirror"]
    smooth_mm: float = Field(4.0, ge=0)
    """Sigma of the smoothing of scans before all else, in mm."""
    map: MirrorMap = MirrorMap(smooth_mm=2.0)

    def describe(self) -> list[str]:
        told = Told(self)
        how = (
            f"Scans are smoothed by a Gaussian of sigma {told.smooth_mm:g} mm, then the mean and the sd of each voxel "
        )
        how += "and of its difference to the mirrored voxel over the healthy training scans are taken."
        return [
            "an atlas of healthy scans and of the difference between left and right",
            how,
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        return MirrorDistance


class MirrorDistance(Method):
    """Map: z-score of the left-right difference, in units of sd, or its weighted sum with the z-score of the scan."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.scan, self.difference = Feature(settings.smooth_mm), Feature(settings.smooth_mm, difference=True)
        self.atlas = HealthyAtlas([self.scan, self.difference], settings.map.atlas)

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        self.atlas.fit(training)

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        how = self.settings.map
        z = self.atlas.z(image, brain, spacing, self.difference)
        if how.of == "sum":
            z = how.difference_weight * z + self.atlas.z(image, brain, spacing, self.scan)
        return check_finite(finished(z, brain, spacing, sign, how), "zscore_mirror")

    def state(self) -> dict[str, np.ndarray]:
        return self.atlas.state()

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.atlas.load(state)
