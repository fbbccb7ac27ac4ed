"""A mask file on the voxels of the scan that it was drawn for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from brainuad.config.reading import Reading
from brainuad.errors import InputError
from brainuad.formats import mask_grid, mask_values, raw
from brainuad.formats.header import World
from brainuad.formats.mask_grid import Grid, PlacedMask
from brainuad.formats.raw import RawVolume
from brainuad.formats.stored import read_header
from brainuad.formats.volume import ras_grid


@dataclass(frozen=True)
class MaskFile:
    """A mask of one file on the scan's grid; `empty`: what the file holds if it marks nothing."""

    data: Bool[np.ndarray, "x y z"]
    notes: list[str]
    empty: str


def read_mask(path: Path, reading: Reading, scan: Grid) -> MaskFile:
    """Read a mask and place it on the voxels of its scan. Raises InputError for a mask that cannot be used."""
    try:
        file = raw.read_unfilled(path, reading)
    except InputError as error:
        do = mask_grid.NO_AFFINE_REMEDY if "no affine" in error.what else error.do
        raise InputError(error.what, file=path, why=error.why, do=do) from None
    try:
        marked = mask_values.marked_voxels(file.volume.data, reading.mask_threshold)
        nothing = PlacedMask(np.zeros(scan.shape, bool))  # wherever that lies
        placed = nothing if marked.empty else mask_grid.place(marked.data, grid_of(file), scan)
    except InputError as error:
        raise InputError(f"{path.name} {error.what}", file=path, why=error.why, do=error.do) from None
    notes = [f"{path.name} {note}" for note in (*file.notes, *marked.notes, *placed.notes)]
    empty = marked.empty or "it marks less than a voxel of the scan"
    return MaskFile(placed.data, notes, empty)


def grid_of(file: RawVolume) -> Grid:
    """The grid of a file that was read."""
    worlds = list(file.worlds.values())
    affines = [file.volume.affine, *(world.matrix for world in worlds[1:])]
    return Grid(file.volume.data.shape, affines, worlds[0].code)


def read_grid(path: Path) -> Grid:
    """The grid of a scan in RAS+ order, from its header alone; raises InputError for a header that will not do."""
    header = read_header(path)
    shape, reordered = ras_grid(header.shape[:3], header.affine)
    worlds = [World(world.matrix @ reordered, world.code) for world in header.worlds.values()]
    return Grid(shape, [world.matrix for world in worlds], worlds[0].code)
