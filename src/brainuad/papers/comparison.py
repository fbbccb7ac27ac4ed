"""Whether our number of a system agrees with the paper's."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from brainuad.metrics.statistics import ROUNDING
from brainuad.papers.finished_study import Number

CLOSE = 0.05
"""Largest difference, in Dice or any other share, that is called close; the margin of claims of equality."""
WIDEST = 0.1
"""Widest 95 % interval of a number that is called reproduced: its ends then lie within 0.15 of the paper's value."""
Agreement = Literal["reproduced", "close", "undecided", "differs", "not comparable", "not in text"]


def agreement(reported: float | None, ours: Number, unlike: str) -> Agreement:
    """How well our number agrees with the paper's.

    `unlike`: what of ours is not the paper's: data, size, map, postprocessing or machine; empty for the paper's own
    system. A wide interval never makes a number reproduced, nor a difference real.
    """
    if unlike:
        return "not comparable"
    if reported is None:
        return "not in text"
    if abs(reported - ours.value) <= CLOSE + ROUNDING:
        return "reproduced" if ours.high - ours.low <= WIDEST + ROUNDING else "close"
    return "undecided" if pd.isna(ours.low) or ours.low <= reported <= ours.high else "differs"
