"""A bundle: all that is needed to use a trained model, as arrays (safetensors) and JSON, which run no code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from brainuad.errors import InputError
from brainuad.formats.files import atomic, read_json, sha256, write_json

VERSION = 1
ARRAYS, ABOUT = "arrays.safetensors", "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """`arrays`: weights, atlases and residual statistics by name; `about`: the rest.

    `about` holds `model` (settings), `intensity` (fitted normalisation), `affine`, `shape`, `seed`, `training`
    (hash and labels of the training scans), `versions`.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any] = field(default_factory=dict)


def write(folder: str | Path, bundle: Bundle) -> None:
    """Write `arrays.safetensors`, then `bundle.json`, which holds the checksum of the arrays."""
    folder = Path(folder)
    with atomic(folder / ARRAYS) as part:
        save_file({name: np.ascontiguousarray(array) for name, array in bundle.arrays.items()}, part)
    about = {**bundle.about, "format": VERSION, "arrays_sha256": sha256(folder / ARRAYS)}
    write_json(folder / ABOUT, about)


def read(folder: str | Path) -> Bundle:
    """Read a bundle; raises InputError for another format version and for arrays that do not fit their checksum."""
    folder = Path(folder)
    about = read_json(folder / ABOUT)
    if about.get("format") != VERSION:
        why = f"it has format {about.get('format')}, this program reads {VERSION}"
        raise InputError("the bundle is of another version", file=folder / ABOUT, why=why, do="train the model again")
    try:
        arrays = load_file(folder / ARRAYS)
        intact = sha256(folder / ARRAYS) == about.get("arrays_sha256")
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError("cannot read the weights", file=folder / ARRAYS, why=str(error), do="train again") from None
    if not intact:
        why = "their checksum is not the one in bundle.json"
        raise InputError("the weights were altered", file=folder / ARRAYS, why=why, do="train the model again")
    return Bundle(arrays, about)
