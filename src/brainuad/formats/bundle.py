"""A bundle: all that is needed to use a trained model, as arrays (safetensors) and JSON, which run no code."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from brainuad.errors import InputError
from brainuad.formats import checksums, tensors
from brainuad.formats.files import read_json, sha256, write_json

VERSION = 2
ARRAYS, ABOUT = "arrays.safetensors", "bundle.json"
SCALING = "scaling."
"""Prefix of the arrays that intensity scaling learnt."""
SEED = "seed-"
"""How the folders of bundles begin in that of their model."""
AGAIN = "train the model again: delete the bundle's folder and run the same command"


@dataclass(frozen=True)
class Bundle:
    """`arrays`: weights, atlases and residual statistics by name; `about`: the rest.

    `about` holds `model` (settings), `intensity` (fitted normalisation), `affine`, `shape`, `template`, `seed`,
    `trained_as` (`<model>/seed-<seed>`), `training` (hash and labels of the training scans), `versions`, and
    `sequences` that the model sees, where a scan has several.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def sequences(self) -> list[str]:
        """The sequences that the model sees; none where a scan is one sequence."""
        return list(self.about.get("sequences", ()))

    @property
    def scaling(self) -> dict[str, np.ndarray]:
        """What the intensity scaling of the training scans learnt from them."""
        return {name.removeprefix(SCALING): each for name, each in self.arrays.items() if name.startswith(SCALING)}


def write(folder: str | Path, bundle: Bundle) -> None:
    """Write `arrays.safetensors`, then `bundle.json`, which holds the checksums of the arrays and of itself."""
    folder = Path(folder)
    tensors.write(folder / ARRAYS, bundle.arrays)
    about = {**bundle.about, "format": VERSION, "arrays_sha256": sha256(folder / ARRAYS)}
    write_json(folder / ABOUT, {**about, checksums.SEAL: checksums.seal_of(about)})


def read(folder: str | Path) -> Bundle:
    """Read a bundle.

    Raises InputError for another format version, for content that does not fit its checksums, and in the folder of
    another model or seed.
    """
    folder = Path(folder)
    path, about = folder / ABOUT, read_json(folder / ABOUT)
    if not isinstance(about, dict) or "format" not in about:
        raise InputError(f"{ABOUT} does not describe a bundle", file=path, why="it lacks its format", do=AGAIN)
    if about["format"] != VERSION:
        why = f"it has format {about['format']}, this program reads {VERSION}"
        raise InputError("the bundle is of another version", file=path, why=why, do=AGAIN)
    if about.pop(checksums.SEAL, None) != checksums.seal_of(about):
        raise InputError(f"{ABOUT} was altered", file=path, why=checksums.ALTERED_RECORD, do=AGAIN)
    place = "/".join(folder.absolute().parts[-2:])
    if folder.name.startswith(SEED) and about.get("trained_as", place) != place:
        why = f"it was trained as {about['trained_as']}, and lies in {place}"
        raise InputError("the bundle is that of another training", file=path, why=why, do=AGAIN)
    try:
        intact = sha256(folder / ARRAYS) == about["arrays_sha256"]
    except OSError as error:
        raise InputError("cannot read the weights", file=folder / ARRAYS, why=str(error), do=AGAIN) from None
    if not intact:
        why = f"their checksum is not the one in {ABOUT}"
        raise InputError("the weights were altered", file=folder / ARRAYS, why=why, do=AGAIN)
    return Bundle(tensors.read(folder / ARRAYS, AGAIN), about)
