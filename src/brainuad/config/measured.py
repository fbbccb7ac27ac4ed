"""The map section of methods whose map is a measure of their own, in place of |scan - reconstruction|."""

from __future__ import annotations

from typing import ClassVar, Literal

from brainuad.config.model import ABSOLUTE, SIGNS, SOURCES, ResidualMap, sds, smoothed
from brainuad.config.told import Told


class MeasureMap(ResidualMap):
    """How a measure of the network becomes an anomaly map.

    `residual` chooses between two measures of the same network: `absolute` is the paper's.
    """

    ABSOLUTE_MEASURE: ClassVar[str]
    """What `residual: absolute` is, in the methods section."""
    SIGNED_MEASURE: ClassVar[str]
    """The same of `residual: signed`."""

    residual_at: Literal["network"] = "network"
    """Always: the network measures at its own resolution. Standardised measures are, too."""

    def at_network(self) -> bool:
        return True

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        signed, source = told.residual == "signed", told.standardise
        text = f"is {self.SIGNED_MEASURE if signed else self.ABSOLUTE_MEASURE}, brought to the scan's grid"
        unused = ["residual_at"]
        if source:
            text += (
                f", minus the mean and divided by the sd of the same in {SOURCES[source]}, voxel by voxel {sds(told)}"
            )
        else:
            unused += ["sd_floor", "sd_added", "min_coverage"]
        sign = SIGNS[lesion_sign] if signed else ABSOLUTE[lesion_sign]
        return [f"{text}{smoothed(told.smooth_mm)}{sign}.", *told.rest(*unused)]
