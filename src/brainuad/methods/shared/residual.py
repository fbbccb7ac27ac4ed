"""Voxel-wise statistics of healthy values and z-scores: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainuad.config.model import Standardised
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Sign


@dataclass(frozen=True)
class Statistics:
    """Voxel-wise statistics of healthy scans. `coverage`: share of the scans whose brain holds the voxel."""

    mean: Float[np.ndarray, "x y z"]
    sd: Float[np.ndarray, "x y z"]
    coverage: Float[np.ndarray, "x y z"]

    def state(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {f"{prefix}_mean": self.mean, f"{prefix}_sd": self.sd, f"{prefix}_coverage": self.coverage}

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


def standardise(values: Image, brain: Brain, healthy: Statistics, settings: Standardised) -> Image:
    """z-score of each voxel; 0 outside the brain and where too few training brains reach.

    An sd below `sd_floor` times the median sd counts as that floor: a handful of scans may agree by chance.
    """
    covered = (healthy.coverage >= settings.min_coverage) & (healthy.sd > 0)
    if not covered.any():
        return np.zeros_like(values)
    sd = np.maximum(healthy.sd, settings.sd_floor * np.median(healthy.sd[covered]))
    z: Image = np.divide(values - healthy.mean, sd, out=np.zeros_like(values), where=brain & covered)
    return z


def signed(values: Image, sign: Sign) -> Image:
    """Higher = more abnormal: `values` for bright lesions, -`values` for dark ones, their absolute value for both."""
    return {"bright": values, "dark": -values, "both": np.abs(values)}[sign]
