"""Scans as they come: read to their end, judged by their headers, and converted with a note where that is safe.

Files that brainuad wrote are read by `formats.volume`, which converts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float

from brainuad.config.reading import Reading
from brainuad.formats import volume
from brainuad.formats.handling import Handling
from brainuad.formats.volume import Volume

HANDLED = (
    Handling(
        "CT", "CT whose rescale intercept was not applied", "converted", "by `reading: {intensity_offset: -1024}`"
    ),
)


Matrix = Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class World:
    """Where a header places the voxels. `matrix`: index of `RawVolume.volume.data` to mm; `code`: NIfTI's, above 0."""

    matrix: Matrix
    code: int


@dataclass(frozen=True)
class RawVolume:
    """A scan in RAS+ order, and what was converted or decided while it was read.

    `worlds`: by `sform` and `qform`, those that the header states and that can be used; that of `volume` comes first.
    """

    volume: Volume
    notes: list[str] = field(default_factory=list)
    worlds: Mapping[str, World] = field(default_factory=dict)


def read_raw(path: Path, reading: Reading) -> RawVolume:
    """Read a scan. Raises InputError for a file that cannot be used."""
    scan = volume.read(path)
    worlds = _worlds(path, scan)
    if not reading.intensity_offset:
        return RawVolume(scan, worlds=worlds)
    note = f"{reading.intensity_offset:+g} was added to every value"
    return RawVolume(replace(scan, data=scan.data + np.float32(reading.intensity_offset)), [note], worlds)


def read_unfilled(path: Path, reading: Reading) -> RawVolume:  # noqa: ARG001
    """As `read_raw`, for masks: NaN and infinite values stay, and all voxels may have one value."""
    scan = volume.read(path, constant=True)
    return RawVolume(scan, worlds=_worlds(path, scan))


def _worlds(path: Path, scan: Volume) -> dict[str, World]:
    image = nib.load(path)
    reordered = np.linalg.inv(image.affine) @ scan.affine
    found = {"sform": image.get_sform(coded=True), "qform": image.get_qform(coded=True)}
    return {name: World(matrix @ reordered, int(code)) for name, (matrix, code) in found.items() if code > 0}
