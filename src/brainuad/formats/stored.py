"""Files of volumes: the format, by their content, the header, and the voxels in the order of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from nibabel.volumeutils import apply_read_scaling

from brainuad.errors import InputError
from brainuad.formats.header import Header, RefusedError, judge_claim, mgh_header, nifti_header
from brainuad.formats.whole_file import GZIP, Content, broken, opened

NIFTI_SIZES = {n.to_bytes(4, order): (n, at) for n, at in ((348, 344), (540, 4)) for order in ("little", "big")}
"""Length of the header and place of its mark, by the first bytes."""
MGH, MGH_SIZE = (1).to_bytes(4, "big"), 284
FOREIGN = {
    (0, b"BZh"): "compressed with bzip2",
    (0, b"\xfd7zXZ"): "compressed with xz",
    (0, b"\x28\xb5\x2f\xfd"): "compressed with zstd",
    (0, b"PK\x03\x04"): "a zip archive",
    (257, b"ustar"): "a tar archive",
    (128, b"DICM"): "DICOM",
    (0, b"ObjectType"): "MetaImage",
    (0, b"NDims"): "MetaImage",
    (0, b"NRRD"): "NRRD",
    (0, b"\x93NUMPY"): "an array of NumPy",
    (0, b"\x89HDF"): "HDF5",
    (0, b"CDF"): "NetCDF",
    (0, b"\x89PNG"): "a PNG picture",
    (0, b"\xff\xd8\xff"): "a JPEG picture",
}
"""What files begin with, from a byte on, that are no NIfTI."""
START = 600
"""Bytes that hold any header."""
TAIL = 2**24
"""Bytes that may follow the last voxel."""
CONVERT = "convert it to .nii.gz"
Judge = Callable[[Header], None]


@dataclass(frozen=True)
class Stored:
    """`data`: (x, y, z) as stored, scaled, float32 (or complex64 or above). `notes`: what was converted."""

    data: Shaped[np.ndarray, "x y z"]
    header: Header
    notes: list[str]


def read_header(path: Path) -> Header:
    """Read and judge a header; voxels are not read. Raises InputError."""
    with _opened_image(path) as (_, header):
        return header


def read_stored(path: Path, index: int | None = None, judge: Judge | None = None) -> Stored:
    """Read a volume, the one with number `index` (from 0) if there are several, and its file to the end.

    `judge` raises RefusedError for a header that will not do. Raises InputError.
    """
    with _opened_image(path) as (content, header):
        try:
            if judge is not None:
                judge(header)
            index = _choose(header, index)
        except RefusedError as error:
            raise error.of(path) from None
        size = header.volume_bytes
        behind = size * (header.volumes - 1 - index)
        content.expected = header.offset + size * header.volumes
        content.skip(header.offset + size * index)
        buffer = content.take(size)
        content.skip(behind)
        left = content.finish(min(size, TAIL))
    notes = [*header.notes, *content.notes]
    if left and header.offset != MGH_SIZE:
        notes.append(f"{left:,} bytes follow the last voxel of its header and were left out")
    data = buffer.view(header.dtype).reshape(header.shape[:3], order="F")
    try:
        return Stored(_scaled(data, header), header, notes)
    except ValueError:  # of nibabel, for a scale beyond any type
        why = f"its slope (scl_slope) is {header.slope:g}, its offset (scl_inter) {header.inter:g}"
        raise InputError(f"{path.name} has an impossible scale", file=path, why=why, do=CONVERT) from None


def _choose(header: Header, index: int | None) -> int:
    if len(header.shape) > 4:
        raise RefusedError("is not a 3D volume", f"it has the shape {header.shape}", "give the 3D scan")
    if header.volumes == 1 and index in (None, 0):
        return 0
    last = header.volumes - 1
    if index is None:
        do = f"extract one volume of it, or choose one by `reading: {{volume: 0}}` (to {last}) of the data set"
        raise RefusedError("is not a 3D volume", f"it has the shape {header.shape}", do)
    if index > last:
        why = f"it has the volumes 0 to {last}" if last else "it has one volume, 0"
        raise RefusedError(f"has no volume {index}", why, "correct `reading: {volume: ...}` of the data set")
    return index


def _scaled(data: Shaped[np.ndarray, "x y z"], header: Header) -> Shaped[np.ndarray, "x y z"]:
    """As nibabel scales them."""
    with np.errstate(over="ignore", invalid="ignore"):
        if header.slope is not None and (header.slope, header.inter) != (1, 0):
            kind = np.float32 if data.dtype.kind != "c" else np.float64
            data = apply_read_scaling(data, kind(header.slope), kind(header.inter))
        return data if data.dtype.kind == "c" else data.astype(np.float32, copy=False)


@contextmanager
def _opened_image(path: Path) -> Iterator[tuple[Content, Header]]:
    """The content that holds the voxels, nothing of it taken yet, and the judged header."""
    header_path, image_path = _pair(path)
    try:
        with opened(header_path) as content:
            with np.errstate(all="ignore"):  # fields may hold anything
                header = _judged(header_path, content.peek(START), header_path == image_path)
            if header_path == image_path:
                judge_claim(header, content)
                yield content, header
                return
            content.finish(TAIL)
        with opened(image_path) as content:
            judge_claim(header, content)
            yield content, header
    except RefusedError as error:
        raise error.of(path) from None


def header_block(path: Path) -> bytes:
    """The first bytes of the file that holds the header. Raises InputError."""
    with opened(_pair(path)[0]) as content:
        return content.peek(START)


def _pair(path: Path) -> tuple[Path, Path]:
    """The files of header and voxels."""
    zipped = path.suffix.lower() == ".gz"
    stem = path.with_suffix("") if zipped else path
    if stem.suffix.lower() not in (".hdr", ".img"):
        return path, path
    other = stem.with_suffix({".hdr": ".img", ".img": ".hdr", ".HDR": ".IMG", ".IMG": ".HDR"}.get(stem.suffix, ""))
    packed = other.with_name(f"{other.name}.gz")
    other = packed if packed.is_file() and (zipped or not other.is_file()) else other
    return (path, other) if stem.suffix.lower() == ".hdr" else (other, path)


def _judged(path: Path, start: bytes, single: bool) -> Header:
    if single and start[:4] == MGH and len(start) >= MGH_SIZE:
        return mgh_header(start)
    if start[:4] not in NIFTI_SIZES:
        raise _foreign(path, start)
    size, place = NIFTI_SIZES[start[:4]]
    if len(start) < size:
        raise broken(path, "it ends within its header")
    magic = start[place : place + 4]
    kind = b"1" if size == 348 else b"2"
    if magic == (b"ni" if single else b"n+") + kind + b"\0":
        why = "its header says that the voxels are in " + ("another file, its .img" if single else "the .hdr itself")
        raise InputError(f"{path.name} is one half of an image", file=path, why=why, do=CONVERT)
    if magic != (b"n+" if single else b"ni") + kind + b"\0":
        why = f"its mark (magic) is {magic!r}; it may be Analyze, which does not store left and right"
        raise InputError(f"{path.name} is not NIfTI", file=path, why=why, do=CONVERT)
    return nifti_header(start, single)


def _foreign(path: Path, start: bytes) -> InputError:
    """The error for a file that begins like no NIfTI."""
    if start.startswith(GZIP):
        return InputError(f"{path.name} is compressed twice", file=path, do="unpack it once, by gunzip")
    what = [name for (place, magic), name in FOREIGN.items() if start[place:].startswith(magic)]
    if not what and not any(start):
        what = ["a file that begins with zeros alone, as after a crash"]
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        why, do = (
            "it is a web page, which a server sent in place of the file",
            "download it again, signed in if need be",
        )
        return InputError(f"{path.name} is not NIfTI", file=path, why=why, do=do)
    if not what and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        what = [f"text: {start[:40].decode('ascii').strip()!r}"]
    why = f"it is {what[0]}" if what else f"it begins with {start[:4]!r}"
    return InputError(f"{path.name} is not NIfTI", file=path, why=why, do=CONVERT)
