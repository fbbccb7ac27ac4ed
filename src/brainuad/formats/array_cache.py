"""The array cache: normalised volumes of a data set on one grid, memory-mapped; slices are views.

A folder of `images.npy` (n, x, y, z; float32, or smaller, see `coding`), `brains.npy` (bool), `scans.tsv` (one scan a
row, in the order of the arrays), `array_cache.json` (affine, template, modality, and how intensities were scaled and
coded), `scaling.safetensors` (what that scaling learnt from the training scans) and `lesions.npy` (bool). From lesions
no model learns: evaluate and report open them, postprocess for the validation scans, train to refuse healthy scans that
have lesions. Where any scan has such voxels, `ignored.npy` (bool) marks what is neither lesion nor healthy and is left
out of the scores of voxels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from safetensors.numpy import load_file, save_file

from brainuad.errors import InputError
from brainuad.formats import scans as table
from brainuad.formats.coding import Coded, Coding
from brainuad.formats.files import atomic_folder, read_json, write_json
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan

NAME = "array_cache.json"
NPY_HEADER = 128
"""Bytes of a .npy file before its values."""


@dataclass(frozen=True)
class ArrayCache:
    """Scans of one data set.

    `images`: normalised intensity, 0 outside the brain; `affine`: voxel index to the template's mm; `intensity`:
    settings of the scaling; `scaling`: what it learnt from the training scans; `naming`: for files made of the scans.
    """

    scans: list[Scan]
    images: Float[np.ndarray, "n x y z"] | Coded
    brains: Bool[np.ndarray, "n x y z"]
    affine: Float[np.ndarray, "4 4"]
    intensity: dict[str, Any]
    scaling: dict[str, np.ndarray]
    naming: Naming = field(default_factory=Naming)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)

    def select(self, *roles: str) -> ArrayCache:
        """The scans in these roles; the arrays stay on disk until they are indexed."""
        keep = [i for i, scan in enumerate(self.scans) if scan.role in roles]
        first, stop = (keep[0], keep[-1] + 1) if keep else (0, 0)
        whole = keep == list(range(first, stop))  # a slice is a view, a list of indices a copy
        index: Any = slice(first, stop) if whole else keep
        return ArrayCache(
            [self.scans[i] for i in keep],
            self.images[index],
            self.brains[index],
            self.affine,
            self.intensity,
            self.scaling,
            self.naming,
        )


@dataclass(frozen=True)
class Entry:
    """One scan on its way into an array cache. `lesion`, `ignored`: None stands for a mask without a voxel."""

    scan: Scan
    image: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    lesion: Bool[np.ndarray, "x y z"] | None = None
    ignored: Bool[np.ndarray, "x y z"] | None = None

    def arrays(self, coding: Coding) -> Iterator[tuple[str, np.ndarray]]:
        """The values of each array by its name, as they are stored."""
        yield "images", coding.encode(self.image, self.brain)
        yield "brains", self.brain
        yield "lesions", np.zeros_like(self.brain) if self.lesion is None else self.lesion
        if self.ignored is not None:
            yield "ignored", self.ignored


@dataclass(frozen=True)
class CacheHeader:
    """What the scans of an array cache share; the fields are those of `ArrayCache`.

    `shape`: of the grid, needed where there may be no scan.
    """

    affine: Float[np.ndarray, "4 4"]
    intensity: dict[str, Any] = field(default_factory=dict)
    scaling: dict[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, int, int] = (0, 0, 0)
    coding: Coding = field(default_factory=Coding)
    naming: Naming = field(default_factory=Naming)


def write(path: str | Path, entries: Iterable[Entry], count: int, header: CacheHeader) -> None:
    """Write entries, `count` at most, one by one: memory holds one scan at a time.

    A cache without scans is allowed: a data set whose every scan failed must not stop the others.
    """
    coding = header.coding
    with atomic_folder(path) as folder:
        arrays: dict[str, np.ndarray] = {}
        rows: list[Scan] = []
        for i, entry in enumerate(entries):
            for name, values in entry.arrays(coding):
                if name not in arrays:  # an array that no earlier scan had is all False for these
                    dtype = _dtype(name, coding)
                    shape = (count, *entry.image.shape)
                    arrays[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
                arrays[name][i] = values
            rows.append(entry.scan)
        for name, array in arrays.items():
            array.flush()  # type: ignore[attr-defined]
            if len(rows) < count:
                np.save(folder / "shorter.npy", array[: len(rows)])
                (folder / "shorter.npy").replace(folder / f"{name}.npy")
        for name in ("images", "brains", "lesions") if not rows else ():
            np.save(folder / f"{name}.npy", np.zeros((0, *header.shape), _dtype(name, coding)))
        table.write(folder / "scans.tsv", rows)
        save_file(header.scaling, folder / "scaling.safetensors")
        about = {"affine": np.asarray(header.affine).tolist(), "intensity": header.intensity, **asdict(header.naming)}
        if coding.dtype != "float32":
            about["coding"] = asdict(coding)
        write_json(folder / NAME, about)


def read(path: str | Path) -> ArrayCache:
    """Open an array cache; arrays are memory-mapped and read-only."""
    folder = Path(path)
    about = read_json(folder / NAME)
    codes, brains = (_open(folder / f"{name}.npy") for name in ("images", "brains"))
    images = Coded(codes, Coding(**about["coding"])) if "coding" in about else codes
    scaling = load_file(folder / "scaling.safetensors")
    rows = table.read(folder / "scans.tsv")
    naming = Naming(about["modality"], about["template"])
    return ArrayCache(rows, images, brains, np.asarray(about["affine"]), about["intensity"], scaling, naming)


def read_lesions(path: str | Path) -> Bool[np.ndarray, "n x y z"]:
    """Open the lesion masks, in the order of the scans; without a voxel for healthy scans."""
    return _open(Path(path) / "lesions.npy")


def read_ignored(path: str | Path) -> Bool[np.ndarray, "n x y z"] | None:
    """Open the masks of what is left out of the scores, in the order of the scans; None if no scan has any."""
    file = Path(path) / "ignored.npy"
    return _open(file) if file.exists() else None


def _dtype(name: str, coding: Coding) -> np.dtype[Any]:
    return coding.stored if name == "images" else np.dtype(bool)


def _open(path: Path) -> np.ndarray:
    try:
        empty = path.stat().st_size <= NPY_HEADER  # an empty array cannot be mapped
        array: np.ndarray = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot open {path.name}", file=path, why=str(error), do="run normalize again") from None
    return array
