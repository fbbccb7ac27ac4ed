"""Image conversions of known data sets: one channel of a 4D file, an Analyze pair."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped
from nibabel.filebasedimages import ImageFileError

from brainuad.errors import InputError
from brainuad.formats.whole_file import require_whole


def write_channel(path: str | Path, index: int, channels: int, out: Path) -> None:
    """Write one volume of a 4D NIfTI file with an unchanged header; raises InputError for another shape."""
    require_whole(Path(path))
    with _input_errors(path):
        image = nib.load(path)
        if image.ndim != 4 or image.shape[3] != channels:
            why = f"it has the shape {image.shape}, not {channels} volumes"
            raise InputError(f"{Path(path).name} is not the 4D file of the data set", file=path, why=why)
        part = image.slicer[..., index]
        made = type(part)(np.asarray(part.dataobj), part.affine, part.header)
    nib.save(made, out)


def read_analyze(path: str | Path, shape: tuple[int, int, int]) -> Shaped[np.ndarray, "x y z"]:
    """The voxels of an Analyze pair in the order of the file, as int16; raises InputError for another shape.

    Analyze stores no orientation: the axes must be known from the data set.
    """
    with _input_errors(path):
        image = nib.AnalyzeImage.from_filename(path)
        data = np.asarray(image.dataobj)
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.shape != shape:
        why = f"it has the shape {data.shape}, not {shape}, and Analyze stores no orientation"
        raise InputError(f"{Path(path).name} is not on the grid of the data set", file=path, why=why)
    return data.astype(np.int16)


def centred_affine(axes: tuple[int, int, int], shape: tuple[int, int, int]) -> Float[np.ndarray, "4 4"]:
    """Affine of 1 mm voxels, centred on the origin; `axes`: 1, or -1 if the axis runs left, back or down."""
    affine = np.diag([*axes, 1]).astype(float)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


@contextmanager
def _input_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (ImageFileError, OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        why = str(error) or "the file ends too early"
        raise InputError(f"{Path(path).name} is broken", file=path, why=why, do="copy or download it again") from None
