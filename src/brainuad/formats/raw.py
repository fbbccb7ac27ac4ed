"""Scans as they come: read to their end, judged by their headers, and converted with a note where that is safe.

Files that brainuad wrote are read by `formats.volume`, which converts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from brainuad.config.reading import Reading
from brainuad.formats import volume
from brainuad.formats.handling import Handling
from brainuad.formats.volume import Volume

HANDLED = (
    Handling(
        "CT", "CT whose rescale intercept was not applied", "converted", "by `reading: {intensity_offset: -1024}`"
    ),
)


@dataclass(frozen=True)
class RawVolume:
    """A scan in RAS+ order, and what was converted or decided while it was read."""

    volume: Volume
    notes: list[str] = field(default_factory=list)


def read_raw(path: Path, reading: Reading) -> RawVolume:
    """Read a scan. Raises InputError for a file that cannot be used."""
    scan = volume.read(path)
    if not reading.intensity_offset:
        return RawVolume(scan)
    note = f"{reading.intensity_offset:+g} was added to every value"
    return RawVolume(replace(scan, data=scan.data + np.float32(reading.intensity_offset)), [note])
