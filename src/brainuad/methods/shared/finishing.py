"""What is done last to the signed map of a method without a network."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from pydantic import Field

from brainuad.config.model import ABSOLUTE, SIGNS, MapSettings, Standardised, smoothed, standardised
from brainuad.config.told import Told
from brainuad.methods.base import Brain, Image, Sign
from brainuad.methods.shared.residual import signed


class FinishedMap(MapSettings):
    """Smoothing and sign of a map; what it shows is said by the class that derives from it."""

    smooth_mm: float = Field(0.0, ge=0)
    """Sigma of a 3D Gaussian over the map, in mm, normalised by the brain mask."""

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        return [f"{self.shown(told)}{ending(told, lesion_sign)}.", *told.rest()]

    @abstractmethod
    def shown(self, told: Told) -> str:
        """For the methods section: what follows `The map`, without smoothing and sign."""


class StandardisedMap(FinishedMap, Standardised):
    """How statistics of healthy scans turn a value into a map of z-scores."""

    def shown(self, told: Told) -> str:
        return standardised(told)


class DistanceMap(FinishedMap):
    """How distances from healthy scans become a map."""

    signed: bool = False
    """Whether the distance counts as negative where the scan is darker than healthy ones, so that the map follows the
    study's `lesion_sign`. Else a distance in any direction counts, whatever that says."""

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        end = ending(told, lesion_sign) if told.signed else ending(told, "both").split(";")[0] + ABSOLUTE[lesion_sign]
        return [f"{self.shown(told)}{end}.", *told.rest()]


def ending(told: Told, lesion_sign: str) -> str:
    """Smoothing and sign in the methods section."""
    return f"{smoothed(told.smooth_mm)}{SIGNS[lesion_sign]}"


def finished(
    values: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign, settings: FinishedMap
) -> Image:
    """The anomaly map from `values`, which are above 0 where a scan is brighter than healthy ones."""
    from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

    smooth = smooth_inside(values, brain, settings.smooth_mm, spacing)
    return signed(smooth, sign)


def directed(distance: Image, direction: Image, sign: Sign, settings: DistanceMap) -> tuple[Image, Sign]:
    """What `finished` takes, of distances of at least 0. `direction`: above 0 where brighter than healthy."""
    return (np.sign(direction) * distance, sign) if settings.signed else (distance, "bright")
