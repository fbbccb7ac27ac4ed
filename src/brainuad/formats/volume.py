"""NIfTI volumes: arrays in RAS+ order with a voxel-to-world affine in mm. Files are checked when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped

from brainuad.errors import InputError
from brainuad.formats.files import atomic
from brainuad.formats.header import as_stored
from brainuad.formats.stored import MGH_SIZE, header_block, read_header, read_stored

_PLACE = [f"srow_{axis}" for axis in "xyz"] + [f"qoffset_{axis}" for axis in "xyz"]
_PLACE += [*(f"quatern_{axis}" for axis in "bcd"), "pixdim", "xyzt_units"]
"""Fields of NIfTI that place the voxels in the world, besides the codes."""


@dataclass(frozen=True)
class Volume:
    """A scan, map or mask. `data`: (x, y, z), axes to the right, front and top; `affine`: voxel index to mm, 4x4."""

    data: Shaped[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]

    @property
    def spacing(self) -> Float[np.ndarray, "3"]:
        """Voxel size in mm."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))


def read(path: str | Path, constant: bool = False) -> Volume:
    """Read a 3D volume as float32 in RAS+ order, and its file to the end.

    Raises InputError for a file that is missing, broken or not NIfTI, another number of dimensions, an affine that
    is missing or singular, NaN or infinite voxels, and, unless `constant` is true, for a volume of one value.
    """
    volume = _load(Path(path))
    if not constant and volume.data.min() == volume.data.max():
        raise empty(path, float(volume.data.flat[0]))
    return volume


def read_mask(path: str | Path) -> Volume:
    """Read a mask (values above 0.5) as bool in RAS+ order; raises InputError as `read` with `constant`."""
    volume = _load(Path(path))
    return Volume(volume.data > 0.5, volume.affine)


def write(path: str | Path, data: Shaped[np.ndarray, "x y z"], affine: Float[np.ndarray, "4 4"]) -> None:
    """Write atomically; bool becomes uint8, floats become float32. Equal arrays give equal bytes."""
    dtype = np.uint8 if data.dtype == bool else np.float32 if data.dtype.kind == "f" else data.dtype
    image = nib.Nifti1Image(np.asarray(data, dtype=dtype, order="F"), affine)  # as the file has them: faster
    image.header.set_xyzt_units("mm", "sec")
    with atomic(path) as part:
        nib.save(image, part)


def read_grid(path: str | Path) -> tuple[tuple[int, int, int], Float[np.ndarray, "4 4"]]:
    """Shape and affine (to mm) of a volume as stored, in any order of axes; voxels are not read.

    Raises InputError for a file that is missing or not NIfTI, fewer than three dimensions, and an affine that is
    missing or singular.
    """
    header = read_header(Path(path))
    x, y, z = header.shape[:3]
    return (x, y, z), header.affine


def write_like(path: str | Path, data: Shaped[np.ndarray, "x y z"], like: str | Path) -> None:
    """Write atomically on the grid of the scan `like`, with its affine and codes bit by bit, and none of its text.

    bool becomes uint8, other types float32.
    """
    header = _stored_header(Path(like))
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        header[name] = b""
    for name in ("cal_min", "cal_max", "intent_code"):
        header[name] = 0
    dtype = np.uint8 if data.dtype == bool else np.float32
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    with atomic(path) as part:
        nib.save(nib.Nifti1Image(np.asarray(data, dtype=dtype, order="F"), None, header), part)


def same_grid(a: Volume, b: Volume, tolerance: float = 1e-2) -> bool:
    """Whether two volumes have one shape and affines equal within `tolerance` mm."""
    return a.data.shape == b.data.shape and bool(np.allclose(a.affine, b.affine, atol=tolerance))


def to_ras(
    data: Shaped[np.ndarray, "x y z"], affine: Float[np.ndarray, "4 4"]
) -> tuple[Volume, Float[np.ndarray, "4 4"]]:
    """The volume with its axes to the right, front and top, and the matrix from its voxels to those of `data`."""
    orientation = nib.orientations.io_orientation(affine)
    upright = nib.orientations.apply_orientation(data, orientation)
    reordered = nib.orientations.inv_ornt_aff(orientation, data.shape)
    return Volume(np.ascontiguousarray(upright), np.asarray(affine @ reordered, dtype=float)), reordered


def ras_grid(
    shape: tuple[int, ...], affine: Float[np.ndarray, "4 4"]
) -> tuple[tuple[int, int, int], Float[np.ndarray, "4 4"]]:
    """The shape of such a volume with its axes to the right, front and top, and the matrix to the voxels as given."""
    orientation = nib.orientations.io_orientation(affine)
    x, y, z = np.array(shape)[np.argsort(orientation[:, 0])].tolist()
    return (x, y, z), nib.orientations.inv_ornt_aff(orientation, shape)


def empty(path: str | Path, value: float) -> InputError:
    """The error for a volume of one value."""
    why, do = f"every voxel is {value:g}", "export it again or exclude the subject"
    return InputError(f"{Path(path).name} is empty", file=path, why=why, do=do)


def _load(path: Path) -> Volume:
    stored = read_stored(path)
    if stored.data.dtype.kind == "c":
        why = f"its type is {stored.data.dtype.name}"
        raise InputError(f"{path.name} holds complex values", file=path, why=why, do="give the magnitude")
    if not np.isfinite(stored.data).all():
        why = f"{int((~np.isfinite(stored.data)).sum())} voxels are NaN or infinite"
        raise InputError(f"{path.name} holds values that are no numbers", file=path, why=why, do="export it again")
    return to_ras(stored.data, stored.header.affine)[0]


def _stored_header(path: Path) -> nib.Nifti1Header:
    """The header of a file as NIfTI-1, without what cannot be used of it."""
    judged, header = read_header(path), nib.Nifti1Header()
    if judged.offset == MGH_SIZE:
        header.set_sform(judged.affine, 1)
        header.set_xyzt_units("mm", "sec")
        return header
    stored = as_stored(header_block(path))
    if type(stored) is nib.Nifti1Header:
        header = stored.as_byteswapped(header.endianness)
    else:
        for name in _PLACE:
            header[name] = stored[name]
    for name in ("sform", "qform"):  # a code of its own that nibabel does not know would lose the affine
        code = judged.worlds[name].code if name in judged.worlds else 0
        header[f"{name}_code"] = code if code in nib.nifti1.xform_codes.code else 1
    return header
