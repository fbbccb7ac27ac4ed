"""Arrays of what training looks up again and again: in memory, or in a file without a name where they are large."""

from __future__ import annotations

import os
import tempfile

import numpy as np

from brainuad.errors import StorageError
from brainuad.units import format_size

IN_MEMORY = 2 * 2**30
"""Bytes of an array that is kept in memory."""


def room(shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
    """An empty array. Raises StorageError if the folder for temporary files has no space for it."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if size <= IN_MEMORY:
        return np.empty(shape, kind)
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a sparse file would end the process once the disk is full
        except OSError as error:
            what, why = f"no space for {format_size(size)} of training data", error.strerror
            do = "free space there, or name another folder in the variable TMPDIR"
            raise StorageError(what, file=tempfile.gettempdir(), why=why, do=do) from error
        return np.memmap(file, kind, "r+", shape=shape)
