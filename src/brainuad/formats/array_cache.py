"""The array cache: normalised volumes of a data set on one grid, memory-mapped; slices are views.

A folder of `images.npy` (n, x, y, z; float32, or smaller, see `coding`), `brains.npy` (bool), `scans.tsv` (one scan a
row, in the order of the arrays), `array_cache.json` (affine, template, modality, and how intensities were scaled and
coded), `scaling.safetensors` (what that scaling learnt from the training scans) and `lesions.npy` (bool). From lesions
no model learns: evaluate and report open them, postprocess for the validation scans, train to refuse healthy scans that
have lesions. Where any scan has such voxels, `ignored.npy` (bool) marks what is neither lesion nor healthy and is left
out of the scores of voxels. In a study with several sequences `images.npy` is the first, and there is
`images_<modality>.npy` for each further one; `read` chooses among them. `checksums.json` has a checksum for each volume
of each array: a volume that is read as a whole (`ArrayCache.image`, `ArrayCache.brain`, `Volumes`) is compared with it;
slices of the mapped arrays are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Bool, Float

from brainuad.formats import checksums, tensors
from brainuad.formats import scans as table
from brainuad.formats.checksums import Checksums
from brainuad.formats.coding import Coded, Coding, Stacked
from brainuad.formats.files import atomic_folder, read_json, write_json
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan

NAME = "array_cache.json"
TABLE, SCALING = "scans.tsv", "scaling.safetensors"
IMAGES = "images"
NPY_HEADER = 128
"""Bytes of a .npy file before its values."""


@dataclass(frozen=True)
class Volumes:
    """The volumes of one stored array, (n, x, y, z), each compared with its checksum whenever it is read.

    `array`: mapped; `rows`: those of the array that these are, in order. A volume is read as a file, not through the
    map, for there a sick disk would kill the process.
    """

    path: Path
    array: np.ndarray
    record: Checksums
    rows: Sequence[int]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, x, y, z)."""
        return (len(self.rows), *self.array.shape[1:])

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        """A volume as it is stored; raises InputError if it is not what was written."""
        row, shape = self.rows[index], self.array.shape[1:]
        size = self.array[0].nbytes
        try:
            with self.path.open("rb") as file:
                file.seek(NPY_HEADER + row * size)
                content = file.read(size)
        except OSError as error:
            raise self.record.refused(f"cannot read {self.path.name}", self.path, str(error.strerror)) from None
        if checksums.of_bytes(content) != self.record.arrays[self.path.stem][row]:
            what = f"volume {row + 1} of {self.path.name} was altered"
            raise self.record.refused(what, self.path, checksums.ALTERED)
        return np.frombuffer(content, self.array.dtype).reshape(shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All volumes, in memory."""
        volumes = [self[i] for i in range(len(self))]
        return np.asarray(np.stack(volumes) if volumes else self.array, dtype=dtype)

    def select(self, rows: Sequence[int]) -> Volumes:
        """Some of the volumes."""
        return Volumes(self.path, self.array, self.record, [self.rows[row] for row in rows])

    def checked(self) -> list[int]:
        """The checksum of each volume, once it was compared."""
        for i in range(len(self)):
            self[i]
        return [self.record.arrays[self.path.stem][row] for row in self.rows]


@dataclass(frozen=True)
class ArrayCache:
    """Scans of one data set.

    `images`: normalised intensity, 0 outside the brain, with the sequences last where several were asked for;
    `stored`: images and brains, to read whole volumes; `affine`: voxel index to the template's mm; `intensity`:
    settings of the scaling; `scaling`: what it learnt from the training scans; `naming`: for files made of the scans;
    `seal`: names the content of the array cache; `sequences`: of the images, in order; none where a scan is one.
    """

    scans: list[Scan]
    images: Float[np.ndarray, "n x y z"] | Coded | Stacked
    brains: Bool[np.ndarray, "n x y z"]
    stored: Mapping[str, Volumes]
    affine: Float[np.ndarray, "4 4"]
    intensity: dict[str, Any]
    scaling: dict[str, np.ndarray]
    naming: Naming
    seal: str
    sequences: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the grid along x, y and z."""
        return self.images.shape[1:4]

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
            {name: volumes.select(keep) for name, volumes in self.stored.items()},
            self.affine,
            self.intensity,
            self.scaling,
            self.naming,
            self.seal,
            self.sequences,
        )

    def image(self, row: int) -> Float[np.ndarray, "x y z ..."]:
        """The image of a scan; raises InputError if it is not what was written."""
        if isinstance(self.images, Stacked):
            pairs = zip(self.images.parts, self.sequences, strict=True)
            return np.stack([_decoded(part, self.stored[f"{IMAGES}_{name}"][row]) for part, name in pairs], axis=-1)
        return _decoded(self.images, self.stored[IMAGES][row])

    def brain(self, row: int) -> Bool[np.ndarray, "x y z"]:
        """The brain mask of a scan; raises InputError if it is not what was written."""
        return self.stored["brains"][row]


def _decoded(array: np.ndarray | Coded, codes: np.ndarray) -> Float[np.ndarray, "x y z"]:
    return array.coding.decode(codes) if isinstance(array, Coded) else codes


@dataclass(frozen=True)
class Entry:
    """One scan on its way into an array cache.

    `lesion`, `ignored`: None stands for a mask without a voxel; `sequences`: further ones of the session.
    """

    scan: Scan
    image: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    lesion: Bool[np.ndarray, "x y z"] | None = None
    ignored: Bool[np.ndarray, "x y z"] | None = None
    sequences: Mapping[str, Float[np.ndarray, "x y z"]] = field(default_factory=dict)

    def arrays(self, coding: Coding) -> Iterator[tuple[str, np.ndarray]]:
        """The values of each array by its name, as they are stored."""
        yield IMAGES, coding.encode(self.image, self.brain)
        for name, image in self.sequences.items():
            yield f"{IMAGES}_{name}", coding.encode(image, self.brain)
        yield "brains", self.brain
        yield "lesions", np.zeros_like(self.brain) if self.lesion is None else self.lesion
        if self.ignored is not None:
            yield "ignored", self.ignored


@dataclass(frozen=True)
class CacheHeader:
    """What the scans of an array cache share; the fields are those of `ArrayCache`.

    `shape`: of the grid, needed where there may be no scan; `sequences`: of each session, where there are several.
    """

    affine: Float[np.ndarray, "4 4"]
    intensity: dict[str, Any] = field(default_factory=dict)
    scaling: dict[str, np.ndarray] = field(default_factory=dict)
    shape: tuple[int, int, int] = (0, 0, 0)
    coding: Coding = field(default_factory=Coding)
    naming: Naming = field(default_factory=Naming)
    sequences: tuple[str, ...] = ()


def write(path: str | Path, entries: Iterable[Entry], header: CacheHeader) -> None:
    """Write entries one by one: memory holds one scan at a time.

    A cache without scans is allowed: a data set whose every scan failed must not stop the others. Raises StorageError
    where the file system refuses.
    """
    coding = header.coding
    with atomic_folder(path) as folder:
        rows: list[Scan] = []
        with ExitStack() as opened:
            arrays: dict[str, _ArrayFile] = {}
            for entry in entries:
                for name, values in entry.arrays(coding):
                    if name not in arrays:  # an array that no earlier scan had is all False for these
                        made = _ArrayFile((folder / f"{name}.npy").open("wb"), _dtype(name, coding), values.shape)
                        arrays[name] = opened.enter_context(made)
                        made.fill(len(rows))
                    arrays[name].append(values)
                rows.append(entry.scan)
                for array in arrays.values():
                    array.fill(len(rows))
            named = (IMAGES, "brains", "lesions", *(f"{IMAGES}_{each}" for each in header.sequences[1:]))
            for name in (name for name in named if name not in arrays):  # no scan has one
                empty = _ArrayFile((folder / f"{name}.npy").open("wb"), _dtype(name, coding), header.shape)
                arrays[name] = opened.enter_context(empty)
                empty.fill(len(rows))
        table.write(folder / TABLE, rows)
        tensors.write(folder / SCALING, header.scaling)
        about = {"affine": np.asarray(header.affine).tolist(), "intensity": header.intensity, **asdict(header.naming)}
        if coding.dtype != "float32":
            about["coding"] = asdict(coding)
        if header.sequences:
            about["sequences"] = list(header.sequences)
        write_json(folder / NAME, about)
        sums = {name: array.checksums for name, array in arrays.items()}
        checksums.write(folder, checksums.of_files(folder, (NAME, TABLE, SCALING)), arrays=sums)


def read(path: str | Path, sequences: Sequence[str] = ()) -> ArrayCache:
    """Open an array cache; arrays are memory-mapped and read-only.

    `sequences`: those that the images are to hold; by default the first of a session. Raises InputError if it is
    missing, if its tables or the sizes of its arrays are not what was written, or if it lacks one of `sequences`.
    """
    folder = Path(path)
    record = checksums.read(folder)
    for name in (NAME, TABLE, SCALING):
        record.check(folder / name)
    about, rows = read_json(folder / NAME), table.read(folder / TABLE)
    there = tuple(about.get("sequences", ()))
    if other := [name for name in sequences if name not in there]:
        why = f"it has {', '.join(there)}" if there else "it has one sequence"
        raise record.refused(f"the array cache has no {other[0]}", folder, why)
    chosen = tuple(sequences) or there[:1]
    files = [f"{IMAGES}_{name}" if name in there[1:] else IMAGES for name in chosen] or [IMAGES]
    names = [f"{IMAGES}_{name}" for name in chosen] if len(chosen) > 1 else [IMAGES]
    stored = {name: _open(record, file) for name, file in zip(names, files, strict=True)}
    stored["brains"] = _open(record, "brains")
    for name, volumes in stored.items():
        if len(volumes) != len(rows):
            why = f"it has {len(volumes)} volumes, {TABLE} has {len(rows)} scans"
            raise record.refused(f"{name}.npy does not fit its table", volumes.path, why)
    coding = Coding(**about["coding"]) if "coding" in about else None
    arrays = [Coded(stored[name].array, coding) if coding else stored[name].array for name in names]
    return ArrayCache(
        rows,
        Stacked(arrays) if len(arrays) > 1 else arrays[0],
        stored["brains"].array,
        stored,
        np.asarray(about["affine"]),
        about["intensity"],
        _scaling_of(tensors.read(folder / SCALING, checksums.remedy(folder)), chosen),
        Naming(chosen[0] if chosen else about["modality"], about["template"]),
        record.seal,
        chosen,
    )


def scaling_of(scaling: Mapping[str, np.ndarray], sequence: str) -> dict[str, np.ndarray]:
    """What the scaling of one of several sequences learnt; its arrays are `<sequence>.<name>`."""
    start = f"{sequence}."
    return {name.removeprefix(start): array for name, array in scaling.items() if name.startswith(start)}


def scaling_by_sequence(scalings: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The inverse of `scaling_of`."""
    return {f"{sequence}.{name}": array for sequence, own in scalings.items() for name, array in own.items()}


def _scaling_of(scaling: dict[str, np.ndarray], chosen: Sequence[str]) -> dict[str, np.ndarray]:
    if len(chosen) == 1:
        return scaling_of(scaling, chosen[0])
    return scaling_by_sequence({name: scaling_of(scaling, name) for name in chosen}) if chosen else scaling


def require_data_set(path: str | Path, label: str) -> None:
    """Raises InputError unless the scans of an array cache are those of the data set with this label."""
    record = checksums.read(Path(path))
    others = sorted({scan.dataset for scan in table.read(record.check(Path(path) / TABLE))} - {label})
    if others:
        why = f"its scans are those of {others[0]}, the job is for {label}"
        raise record.refused("the array cache is that of another data set", Path(path), why)


def read_lesions(path: str | Path) -> Volumes:
    """Open the lesion masks, (n, x, y, z), in the order of the scans; without a voxel for healthy scans."""
    return _open(checksums.read(Path(path)), "lesions")


def read_ignored(path: str | Path) -> Volumes | None:
    """Open the masks of what is left out of the scores, in the order of the scans; None if no scan has any."""
    record = checksums.read(Path(path))
    return _open(record, "ignored") if "ignored" in record.arrays else None


class _ArrayFile:
    """A .npy file that is written volume by volume, with the checksum of each.

    Plain writes, for a full disk is an OSError then; a process that writes to a memory map of a sparse file is killed.
    """

    def __init__(self, file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]):
        self._file, self._dtype, self._shape = file, dtype, shape
        self.checksums: list[int] = []
        self._write_header()

    def __enter__(self) -> _ArrayFile:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                self._file.seek(0)
                self._write_header()  # numpy leaves room for any count
        finally:
            self._file.close()

    def append(self, values: np.ndarray) -> None:
        """Write the next volume."""
        content = np.ascontiguousarray(values, dtype=self._dtype)
        self._file.write(content.data)
        self.checksums.append(checksums.of_bytes(content))

    def fill(self, count: int) -> None:
        """Write volumes of zeros until there are `count`."""
        while len(self.checksums) < count:
            self.append(np.zeros(self._shape, self._dtype))

    def _write_header(self) -> None:
        about = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, {**about, "shape": (len(self.checksums), *self._shape)})


def _dtype(name: str, coding: Coding) -> np.dtype[Any]:
    return coding.stored if name.startswith(IMAGES) else np.dtype(bool)


def _open(record: Checksums, name: str) -> Volumes:
    path = record.folder / f"{name}.npy"
    count = len(record.arrays.get(name, ()))
    try:
        # an empty array cannot be mapped
        array: np.ndarray = np.load(path, mmap_mode="r" if count else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise record.refused(f"cannot open {path.name}", path, str(error)) from None
    if array.shape[:1] != (count,) or array.ndim != 4:
        why = f"it has the shape {array.shape}, and {count} volumes were written"
        raise record.refused(f"{path.name} was altered", path, why)
    return Volumes(path, array, record, range(count))
