"""The scan itself after histogram equalisation: a baseline that needs no training.

Source: Meissen et al. 2021 (docs/methods/baselines.md).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from brainuad.config.model import MapSettings, MethodSettings, Several, smoothed
from brainuad.config.told import Told
from brainuad.methods.base import Brain, Image, Method, Sign, check_finite


class EqualisedMap(MapSettings):
    """How an equalised scan becomes an anomaly map."""

    levels: int = Field(4096, ge=256)
    """Grey levels that the brain is quantised to first. Rounding a scan in [0, 1] to integers would leave two."""
    smooth_mm: float = Field(0.0, ge=0)
    """Sigma of a 3D Gaussian over the map, in mm, normalised by the brain mask."""

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        rank = "the share of the brain's voxels that are as bright or darker"
        of_sign = {"bright": rank, "dark": f"1 minus {rank}", "both": f"twice the distance of one half to {rank}"}
        text = f"is {of_sign[lesion_sign]}, after quantisation to {told.levels} grey levels"
        return [f"{text}{smoothed(told.smooth_mm)}.", *told.rest()]


class Settings(MethodSettings):
    """The scan itself after histogram equalisation inside the brain (Meissen 2021); no training."""

    learns: ClassVar[bool] = False
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = True
    several: ClassVar[Several] = "each"

    family: Literal["thresh_histeq"]
    map: EqualisedMap = EqualisedMap()

    def describe(self) -> list[str]:
        return ["the scan after histogram equalisation in the brain", "It needs no training."]

    @classmethod
    def method_class(cls) -> type[Any]:
        return EqualisedIntensity


class EqualisedIntensity(Method):
    """Map in [0, 1], for bright lesions: the share of the scan's brain voxels that are as bright or darker.

    For dark lesions 1 minus that share; for both, twice the distance of the share from one half.
    """

    def __init__(self, settings: Settings):
        self.settings = settings

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        from brainuad.images.equalise import equalise  # late, as scipy in all numerical code of these families
        from brainuad.images.smooth import smooth_inside

        rank = equalise(image, brain, self.settings.map.levels)
        rank = {"bright": rank, "dark": 1 - rank, "both": np.abs(2 * rank - 1)}[sign]
        return check_finite(smooth_inside(rank, brain, self.settings.map.smooth_mm, spacing), "thresh_histeq")
