"""Arrays by name in one safetensors file, which runs no code; a full disk and a broken file end in a sentence."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from brainuad.errors import InputError
from brainuad.formats import checksums
from brainuad.formats.files import atomic

CHECKSUM = "crc32"
"""Key of the metadata: the checksum of all arrays, in the order of their names."""


def write(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write atomically, with a checksum; raises StorageError where the file system refuses."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic(path) as part:
        try:
            save_file(whole, part, {CHECKSUM: str(_checksum(whole))})
        except safetensors.SafetensorError as error:  # it stands for an OSError too, whose number is in its text
            number = next((n for n in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) if f"os error {n})" in str(error)), 0)
            raise OSError(number, str(error)) from None


def read(path: str | Path, do: str) -> dict[str, np.ndarray]:
    """Read and compare with the checksum; raises InputError, with the remedy `do`, for a broken or altered file."""
    path = Path(path)
    try:
        arrays: dict[str, np.ndarray] = load_file(path)
        with safetensors.safe_open(path, "numpy") as file:
            stored = (file.metadata() or {}).get(CHECKSUM)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"cannot read {path.name}", file=path, why=str(error), do=do) from None
    if stored != str(_checksum(arrays)):
        why = "it was damaged or edited, or an older version of brainuad wrote it: its checksum does not fit"
        raise InputError(f"{path.name} was altered", file=path, why=why, do=do)
    return arrays


def _checksum(arrays: Mapping[str, np.ndarray]) -> int:
    found = 0
    for name in sorted(arrays):
        found = checksums.of_bytes(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode(), found)
        found = checksums.of_bytes(np.ascontiguousarray(arrays[name]), found)
    return found
