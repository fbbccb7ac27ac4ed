"""From the residuals of a scan to its anomaly map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from brainuad.config.model import ResidualMap, Source
from brainuad.errors import InputError
from brainuad.images.smooth import smooth_inside
from brainuad.methods.base import Brain, Image, Sign, check_finite
from brainuad.methods.shared.residual import RESIDUALS, Rescaling, Residual, Statistics, signed, standardise

REMEDIES: dict[Source, str] = {
    "training": "train it first",
    "held_out": "give a healthy data set a split with validation above 0, or set map.standardise: training",
    "crossfit": "set train.crossfit to the number of folds, and train again",
}
"""What to do for the residual statistics of a source that are missing."""


class ResidualMaps:
    """What the residuals of healthy scans are like, and the maps that residuals become by the `map` section.

    `name`: of the method, in messages.
    """

    def __init__(self, name: str, settings: ResidualMap):
        self.name, self.settings = name, settings
        self.statistics: dict[Source, dict[Residual, Statistics]] = {}

    def learn(self, own: Mapping[Residual, Statistics], crossfit: Mapping[Residual, Statistics]) -> None:
        """Statistics of the training scans; and of these by networks that were trained without them, if there are."""
        self.statistics["training"] = dict(own)
        for residual_type, statistics in crossfit.items():
            # the mean is the network's own: others err in other places
            with_sd = replace(own[residual_type], sd=statistics.sd)
            self.statistics.setdefault("crossfit", {})[residual_type] = with_sd

    def rescalings(self, spacing: tuple[float, float, float]) -> dict[Residual, Rescaling]:
        """What gathers the residuals of held-out scans, for `learn_held_out`."""
        return {of: Rescaling(self.statistics["training"][of], spacing) for of in RESIDUALS}

    def learn_held_out(self, gathered: Mapping[Residual, Rescaling]) -> None:
        """Statistics with the sd of held-out scans."""
        self.statistics["held_out"] = {residual_type: scale.result() for residual_type, scale in gathered.items()}

    def of_residual(self, residual: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """The map of the signed residual of a scan on its grid: standardised, smoothed and signed."""
        residual = np.abs(residual) if self.settings.residual == "absolute" else residual
        return self.finished(self.standardised(residual, brain), brain, spacing, sign)

    def standardised(self, residual: Image, brain: Brain) -> Image:
        """By the statistics that the settings name; unchanged if they name none."""
        source = self.settings.standardise
        if not source:
            return residual
        if source not in self.statistics:
            raise InputError(f"{self.name} has no {source} residuals", do=REMEDIES[source])
        return standardise(residual, brain, self.statistics[source][self.settings.residual], self.settings)

    def finished(self, residual: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """Smoothed, and signed unless it is absolute."""
        smooth = smooth_inside(residual, brain, self.settings.smooth_mm, spacing)
        return check_finite(smooth if self.settings.residual == "absolute" else signed(smooth, sign), self.name)

    def state(self, prefix: str = "") -> dict[str, np.ndarray]:
        """The statistics by name."""
        state: dict[str, np.ndarray] = {}
        for source, by_type in self.statistics.items():
            for residual_type, statistics in by_type.items():
                state |= statistics.state(f"{prefix}residual_{source}_{residual_type}")
        return state

    def load(self, state: Mapping[str, np.ndarray], prefix: str = "") -> None:
        """Restore what these settings need of what `state` returned: at 1 mm each volume has 25 MB.

        Raises InputError if the statistics of the training scans are missing.
        """
        source, of, start = self.settings.standardise, self.settings.residual, f"{prefix}residual"
        own = Statistics.load(state, f"{start}_training_{of}")
        if source == "training":
            self.statistics = {source: {of: own}}
        elif source and f"{start}_{source}_{of}_mean" in state:
            self.statistics = {source: {of: Statistics.load(state, f"{start}_{source}_{of}")}}
        else:
            self.statistics = {}
