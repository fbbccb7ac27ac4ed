"""Sizes and times in words, for messages."""

from __future__ import annotations

import math


def format_size(count: float) -> str:
    """A number of bytes: `350.0 MB`, `1.2 GB`."""
    if count < 1000:
        return f"{count:.0f} bytes"
    power = min(int(math.log10(count)) // 3, 4)
    return f"{count / 1000**power:.1f} {' kMGT'[power]}B"


def format_duration(seconds: float) -> str:
    """A rough time, not under ten seconds: `40 s`, `3 min`, `2 h 10 min`, `3 days`."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:.3g} days"
    return f"{hours} h {rest} min" if rest else f"{hours} h"
