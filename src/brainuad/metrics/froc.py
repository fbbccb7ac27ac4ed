"""Free-response ROC: sensitivity to lesions against false positives, as components with low values are left out.

The components of a predicted mask are ranked by the highest value of the map in them. A threshold of that value keeps
some; what they detect and what is false among them is counted over all scans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LEVELS = 500
"""Thresholds at most; with fewer distinct values of components each is one."""
RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per scan at which the sensitivity is averaged (Camelyon 16)."""
RATES_ML = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""The same in ml of false-positive volume per scan."""

Values = Float[np.ndarray, "n"]
Scans = Float[np.ndarray, "scans"]
Counts = Float[np.ndarray, "scans levels"]


@dataclass(frozen=True)
class Components:
    """Of one scan: values of the components that detect a lesion, of false ones, and of all with their false volume."""

    detecting: Values
    false: Values
    every: Values
    false_ml: Values
    lesions: int


@dataclass(frozen=True)
class Froc:
    """Counts of each scan at descending thresholds: detected lesions, false positives, false-positive volume in ml."""

    detected: Counts
    false: Counts
    false_ml: Counts
    lesions: Scans

    @classmethod
    def of(cls, scans: Sequence[Components]) -> Froc:
        """Count all scans at common thresholds."""
        values = np.unique(np.concatenate([each for scan in scans for each in (scan.detecting, scan.every)]))
        if len(values) > LEVELS:
            values = values[np.linspace(0, len(values) - 1, LEVELS).astype(np.intp)]
        levels = values[::-1]
        return cls(
            np.stack([_reaching(scan.detecting, np.ones(len(scan.detecting)), levels) for scan in scans]),
            np.stack([_reaching(scan.false, np.ones(len(scan.false)), levels) for scan in scans]),
            np.stack([_reaching(scan.every, scan.false_ml, levels) for scan in scans]),
            np.array([scan.lesions for scan in scans], dtype=float),
        )

    def curve(self, ml: bool = False) -> tuple[Values, Values]:
        """False positives per scan, or their ml, ascending, and sensitivity; beginning with no component."""
        false = (self.false_ml if ml else self.false).mean(axis=0)
        sensitivity = self.detected.sum(axis=0) / self.lesions.sum()
        return np.concatenate([[0], false]), np.concatenate([[0], sensitivity])

    def score(
        self, weights: Float[np.ndarray, "*resamples scans"], ml: bool = False
    ) -> Float[np.ndarray, "*resamples"]:
        """Mean over the rates of the highest sensitivity with no more false positives; NaN without lesions.

        `weights`: how often each scan counts.
        """
        counts, rates = (self.false_ml, RATES_ML) if ml else (self.false, RATES)
        with np.errstate(invalid="ignore", divide="ignore"):
            false = weights @ counts / weights.sum(axis=-1)[..., None]
            sensitivity = weights @ self.detected / (weights @ self.lesions)[..., None]
        sensitivity = np.concatenate([np.zeros((*sensitivity.shape[:-1], 1)), sensitivity], axis=-1)
        reached = [
            np.take_along_axis(sensitivity, (false <= rate).sum(axis=-1)[..., None], axis=-1)[..., 0] for rate in rates
        ]
        found = np.mean(reached, axis=0)
        return np.where(weights @ self.lesions > 0, found, np.nan)


def _reaching(values: Values, amounts: Values, levels: Values) -> Values:
    """The sum of the amounts whose value reaches each of the descending levels."""
    order = np.argsort(-values, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(amounts[order])])
    return total[np.searchsorted(-values[order], -levels, side="right")]
