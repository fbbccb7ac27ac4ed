"""Scans from outside: read to their end, judged by their headers, and converted with a note where that is safe.

Files that brainuad wrote are read by `formats.volume`, which changes no value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from brainuad.config.reading import Reading
from brainuad.formats import missing_values, volume
from brainuad.formats.handling import Handling
from brainuad.formats.header import Header, RefusedError, World, judge_head
from brainuad.formats.stored import read_header, read_stored
from brainuad.formats.volume import Volume, to_ras

HANDLED = (
    Handling(
        "values",
        "any type of whole and real numbers, 8 to 64 bits",
        "accepted",
        "values are used as 32-bit real numbers",
    ),
    Handling("values", "complex values", "refused", "the setting `reading: {complex: magnitude}` uses their magnitude"),
    Handling("values", "a series of volumes (4D)", "refused", "the setting `reading: {volume: 0}` reads one of them"),
    Handling("values", "one value everywhere", "refused", "the scan is empty"),
    Handling(
        "values",
        "2 or 5 dimensions",
        "refused",
        "the reason names the shape; dimensions of size 1 at the end are ignored",
    ),
    Handling(
        "CT",
        "CT whose rescale intercept was not applied, in a data set with `reading: {intensity_offset: -1024}`",
        "converted",
        "the offset is added to every value",
    ),
)


@dataclass(frozen=True)
class RawVolume:
    """A scan in RAS+ order, and what was converted or decided while it was read.

    `worlds`: by `sform` and `qform`, those that the header states and that can be used; that of `volume` comes first.
    Their `matrix` is for the voxels of `volume`.
    """

    volume: Volume
    notes: list[str] = field(default_factory=list)
    worlds: Mapping[str, World] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """SHA-256 of the shape and the voxel values: names, compression, data type and most of the header are free."""
        found = hashlib.sha256(str(self.volume.data.shape).encode())
        for part in self.volume.data:
            found.update(np.ascontiguousarray(part, dtype=np.float32).data)
        return found.hexdigest()


def read_raw(path: Path, reading: Reading) -> RawVolume:
    """Read a scan. Raises InputError for a file that cannot be used."""
    found = read_unfilled(path, reading, judge_head)
    data, notes = missing_values.filled(path, found.volume)
    if data.min() == data.max():
        raise volume.empty(path, float(data.flat[0]))
    if reading.intensity_offset:
        data = data + np.float32(reading.intensity_offset)
        notes = [*notes, f"{reading.intensity_offset:+g} was added to every value"]
    return replace(found, volume=replace(found.volume, data=data), notes=[*found.notes, *notes])


def read_unfilled(path: Path, reading: Reading, judge: Callable[[Header], None] | None = None) -> RawVolume:
    """As `read_raw`, for masks: NaN and infinite values stay, all voxels may have one value, and any size is read.

    `judge` raises RefusedError for a header that will not do. `reading.intensity_offset` is not added, and the one mask
    of a series is read whatever `reading.volume` is.
    """

    def judge_all(header: Header) -> None:
        if header.dtype.kind == "c" and reading.complex == "refuse":
            do = "give the magnitude, or take it by `reading: {complex: magnitude}` of the data set"
            raise RefusedError("holds complex values", f"its type is {header.dtype.name}", do)
        if judge is not None:
            judge(header)

    index = reading.volume
    if index and judge is None and read_header(path).volumes == 1:  # the one mask of a series
        index = 0
    stored = read_stored(path, index, judge_all)
    data, notes = stored.data, list(stored.notes)
    if stored.data.dtype.kind == "c":
        data = np.abs(stored.data).astype(np.float32)
        notes.append("the magnitude of complex values was taken")
    if stored.header.volumes > 1:
        notes.append(f"volume {reading.volume} of {stored.header.volumes} was taken")
    found, reordered = to_ras(data, stored.header.affine)
    worlds = {name: World(world.matrix @ reordered, world.code) for name, world in stored.header.worlds.items()}
    return RawVolume(found, notes, worlds)
