"""The store: normalised volumes of a data set on one grid, memory-mapped; slices are views.

A folder of `images.npy` (n, x, y, z; float32, or smaller, see `coding`), `brains.npy` (bool), `scans.tsv` (their rows,
in order), `store.json` (affine, and how intensities were scaled and coded), `scaling.safetensors` (what that scaling
learnt from the training subjects), and, apart from them, `lesions.npy` (bool), from which no model learns: evaluate
and report open it, postprocess for the validation scans, train to refuse healthy scans that have lesions; beside it,
where any scan has such voxels, `ignored.npy` (bool): neither lesion nor healthy, so left out of the scores of voxels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from safetensors.numpy import load_file, save_file

from brainuad.errors import InputError
from brainuad.formats import scans as table
from brainuad.formats.coding import Coded, Coding
from brainuad.formats.files import atomic_folder, read_json, write_json
from brainuad.formats.scans import Scan

HEADER = 128
"""Bytes of a .npy file before its values."""


@dataclass(frozen=True)
class ArrayCache:
    """Scans of one data set.

    `images`: normalised intensity, 0 outside the brain; `affine`: voxel index to MNI mm; `intensity`: settings of the
    scaling; `scaling`: what it learnt from the training subjects.
    """

    scans: list[Scan]
    images: Float[np.ndarray, "n x y z"] | Coded
    brains: Bool[np.ndarray, "n x y z"]
    affine: Float[np.ndarray, "4 4"]
    intensity: dict[str, Any]
    scaling: dict[str, np.ndarray]

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
        )


@dataclass(frozen=True)
class Entry:
    """One scan on its way into a store."""

    scan: Scan
    image: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    lesion: Bool[np.ndarray, "x y z"] | None = None
    ignored: Bool[np.ndarray, "x y z"] | None = None


def write(
    path: str | Path,
    entries: Iterable[Entry],
    count: int,
    affine: Float[np.ndarray, "4 4"],
    intensity: dict[str, Any],
    scaling: dict[str, np.ndarray] | None = None,
    shape: tuple[int, int, int] = (0, 0, 0),
    coding: Coding | None = None,
) -> None:
    """Write entries, `count` at most, one by one: memory holds one scan at a time. A missing lesion mask is all False.

    A store may be empty, for a data set whose every scan failed must not stop the others; its grid then has `shape`.
    """
    coding = coding or Coding()
    with atomic_folder(path) as folder:
        arrays: dict[str, np.ndarray] = {}
        rows: list[Scan] = []
        for i, entry in enumerate(entries):
            values = {"images": coding.encode(entry.image, entry.brain), "brains": entry.brain}
            values["lesions"] = np.zeros_like(entry.brain) if entry.lesion is None else entry.lesion
            if entry.ignored is not None:
                values["ignored"] = entry.ignored
            for name, value in values.items():
                if name not in arrays:  # what no earlier scan had is all False there
                    kind = coding.stored if name == "images" else np.bool_
                    arrays[name] = np.lib.format.open_memmap(
                        folder / f"{name}.npy", mode="w+", dtype=kind, shape=(count, *entry.image.shape)
                    )
                arrays[name][i] = value
            rows.append(entry.scan)
        for name, array in arrays.items():
            array.flush()  # type: ignore[attr-defined]
            if len(rows) < count:
                np.save(folder / "shorter.npy", array[: len(rows)])
                (folder / "shorter.npy").replace(folder / f"{name}.npy")
        for name in ("images", "brains", "lesions") if not rows else ():
            np.save(folder / f"{name}.npy", np.zeros((0, *shape), coding.stored if name == "images" else np.bool_))
        table.write(folder / "scans.tsv", rows)
        save_file(scaling or {}, folder / "scaling.safetensors")
        about = {"affine": np.asarray(affine).tolist(), "intensity": intensity}
        if coding.kind != "float32":
            about["coding"] = {"kind": coding.kind, "limits": coding.limits}
        write_json(folder / "store.json", about)


def read(path: str | Path) -> ArrayCache:
    """Open a store; arrays are memory-mapped and read-only."""
    folder = Path(path)
    about = read_json(folder / "store.json")
    codes, brains = (_open(folder / f"{name}.npy") for name in ("images", "brains"))
    images = Coded(codes, Coding(**about["coding"])) if "coding" in about else codes
    scaling = load_file(folder / "scaling.safetensors")
    rows = table.read(folder / "scans.tsv")
    return ArrayCache(rows, images, brains, np.asarray(about["affine"]), about["intensity"], scaling)


def read_lesions(path: str | Path) -> Bool[np.ndarray, "n x y z"]:
    """Open the lesion masks, in the order of the store's scans; empty ones for healthy scans."""
    return _open(Path(path) / "lesions.npy")


def read_ignored(path: str | Path) -> Bool[np.ndarray, "n x y z"] | None:
    """Open the masks of what is left out of the scores, in the order of the store's scans; None if no scan has any."""
    file = Path(path) / "ignored.npy"
    return _open(file) if file.exists() else None


def _open(path: Path) -> np.ndarray:
    try:
        empty = path.stat().st_size <= HEADER  # an empty array cannot be mapped
        array: np.ndarray = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot open {path.name}", file=path, why=str(error), do="run normalize again") from None
    return array
