"""Voxel-wise statistics of healthy values and z-scores: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from brainuad.config.model import Standardised
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Sign

Residual = Literal["signed", "absolute"]
RESIDUALS: tuple[Residual, ...] = ("signed", "absolute")


@dataclass(frozen=True)
class Statistics:
    """Voxel-wise statistics of healthy scans. `coverage`: share of the scans whose brain holds the voxel."""

    mean: Float[np.ndarray, "x y z"]
    sd: Float[np.ndarray, "x y z"]
    coverage: Float[np.ndarray, "x y z"]

    def state(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {f"{prefix}_mean": self.mean, f"{prefix}_sd": self.sd, f"{prefix}_coverage": self.coverage}

    def of_sequence(self, number: int) -> Statistics:
        """Those of one sequence, of statistics (x, y, z, c)."""
        return Statistics(*(part[..., number] for part in (self.mean, self.sd, self.coverage)))

    @classmethod
    def load(cls, state: Mapping[str, np.ndarray], prefix: str) -> Statistics:
        """Restore what `state` returned; raises InputError if a part is missing."""
        try:
            return cls(*(state[f"{prefix}_{part}"] for part in ("mean", "sd", "coverage")))
        except KeyError as error:
            raise InputError(f"the bundle lacks {error}", do="train the model again") from None


class Accumulator:
    """Gathers `Statistics` scan by scan (Welford), each scan counted inside its own brain."""

    def __init__(self, shape: tuple[int, ...]):
        self.seen, self.count = 0, np.zeros(shape, np.int32)
        self.mean, self.squares = np.zeros(shape), np.zeros(shape)

    def add(self, values: Image, brain: Brain) -> None:
        """Count one more scan."""
        self.seen += 1
        self.count += brain
        step = np.where(brain, values - self.mean, 0)
        self.mean += step / np.maximum(self.count, 1)
        self.squares += step * np.where(brain, values - self.mean, 0)

    def result(self) -> Statistics:
        """Mean, sd (n - 1) and coverage; sd 0 where fewer than two brains meet. Raises InputError under two scans."""
        if self.seen < 2:
            why = f"a standard deviation over {self.seen} scan says nothing"
            raise InputError("too few healthy training scans", why=why, do="give at least two, better thirty")
        sd = np.sqrt(self.squares / np.maximum(self.count - 1, 1))
        parts = self.mean, sd, self.count / self.seen
        return Statistics(*(part.astype(np.float32) for part in parts))


def accumulators(shape: tuple[int, ...]) -> dict[Residual, Accumulator]:
    """Empty statistics of residuals on a grid."""
    return {residual_type: Accumulator(shape) for residual_type in RESIDUALS}


POOL_MM = 8.0
"""Sigma of the neighbourhood over which the residuals of held-out scans are pooled: few of them make noisy sds."""


class Rescaling:
    """Fits the sd of training residuals to those of held-out scans, region by region.

    A network has learnt its training scans, so that their residuals are too small; and a handful of held-out scans
    gives no usable sd for each voxel. The training scans give the pattern, the held-out ones the scale: the ratio of
    mean squares in a neighbourhood of `POOL_MM`. Source: docs/decisions/0042.
    """

    def __init__(self, training: Statistics, spacing: tuple[float, float, float]):
        self.training, self.spacing = training, spacing
        self.found, self.expected = np.zeros(training.sd.shape), np.zeros(training.sd.shape)

    def add(self, values: Image, brain: Brain) -> None:
        """Count one more held-out scan."""
        seen = brain & (self.training.sd > 0)
        self.found += np.where(seen, np.square(values - self.training.mean), 0)
        self.expected += np.where(seen, np.square(self.training.sd), 0)

    def result(self) -> Statistics:
        """The training statistics with the sd of held-out scans; unchanged where these have no brain."""
        from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

        seen = self.expected > 0
        found, expected = (smooth_inside(part, seen, POOL_MM, self.spacing) for part in (self.found, self.expected))
        ratio = np.divide(found, expected, out=np.ones_like(found), where=expected > 0)
        return replace(self.training, sd=(self.training.sd * np.sqrt(ratio)).astype(np.float32))


def standardise(values: Image, brain: Brain, healthy: Statistics, settings: Standardised) -> Image:
    """z-score of each voxel; 0 outside the brain and where too few training brains reach.

    An sd below `sd_floor` times the median sd counts as that floor, and `sd_added` times the median sd is added: a
    handful of scans may agree by chance.
    """
    covered = (healthy.coverage >= settings.min_coverage) & (healthy.sd > 0)
    if not covered.any():
        return np.zeros_like(values)
    median = np.median(healthy.sd[covered])
    sd = np.maximum(healthy.sd, settings.sd_floor * median) + settings.sd_added * median
    z: Image = np.divide(values - healthy.mean, sd, out=np.zeros_like(values), where=brain & covered)
    return z


def signed(values: Image, sign: Sign) -> Image:
    """Higher = more abnormal: `values` for bright lesions, -`values` for dark ones, their absolute value for both."""
    return {"bright": values, "dark": -values, "both": np.abs(values)}[sign]
