"""How the files of a data set's scans are read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from brainuad.config.section import Section


class Reading(Section):
    """What the files of the scans leave open, or state wrongly."""

    volume: int | None = Field(None, ge=0)
    """Which volume of a 4D file to use, from 0; a file with several volumes is refused if none."""
    complex: Literal["refuse", "magnitude"] = "refuse"
    """What to do with complex values: refuse the scan, or use their magnitude."""
    intensity_offset: float = 0.0
    """Added to every value, such as -1024 for CT whose rescale intercept was not applied."""
    stripped: bool | None = None
    """Whether the scans, and those of `register_with`, are skull-stripped; decided for each scan if null."""
    mask_threshold: float = Field(0.5, ge=0)
    """Values of a mask above it are lesion: lower for masks that were scaled down, higher for grey values."""
