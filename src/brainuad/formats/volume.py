"""NIfTI volumes: arrays in RAS+ order with a voxel-to-world affine in mm. Files are checked when they are read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import SpatialImage

from brainuad.errors import InputError
from brainuad.formats.files import atomic


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
    """Read a 3D scan as float32 in RAS+ order.

    Raises InputError for a file that is missing, truncated or not NIfTI, another number of dimensions, an affine that
    is missing or singular, NaN or infinite voxels, and, unless `constant` is true, for a volume of one value.
    """
    volume = _load(Path(path))
    if not constant and volume.data.min() == volume.data.max():
        why = f"every voxel is {volume.data.flat[0]:g}"
        raise InputError(f"{Path(path).name} is empty", file=path, why=why, do="export it again or exclude the subject")
    return volume


def read_mask(path: str | Path) -> Volume:
    """Read a mask (values above 0.5) as bool in RAS+ order; raises InputError as `read` with `constant`."""
    volume = _load(Path(path))
    return Volume(volume.data > 0.5, volume.affine)


def write(path: str | Path, data: Shaped[np.ndarray, "x y z"], affine: Float[np.ndarray, "4 4"]) -> None:
    """Write atomically; bool becomes uint8, floats become float32. Equal arrays give equal bytes."""
    dtype = np.uint8 if data.dtype == bool else np.float32 if data.dtype.kind == "f" else data.dtype
    image = nib.Nifti1Image(np.asarray(data, dtype=dtype), affine)
    image.header.set_xyzt_units("mm", "sec")
    with atomic(path) as part:
        nib.save(image, part)


def read_grid(path: str | Path) -> tuple[tuple[int, int, int], Float[np.ndarray, "4 4"]]:
    """Shape and affine of a scan as stored, in any order of axes; voxels are not read.

    Raises InputError for a file that is missing or not NIfTI, another number of dimensions, and an affine that is
    missing or singular.
    """
    path = Path(path)
    image = _opened(path)
    if len(image.shape) < 3 or any(n != 1 for n in image.shape[3:]):
        why = f"it has the shape {image.shape}"
        raise InputError(f"{path.name} is not a 3D volume", file=path, why=why, do="extract one volume of it")
    _check_affine(path, image)
    x, y, z = image.shape[:3]
    return (x, y, z), np.asarray(image.affine, dtype=float)


def write_like(path: str | Path, data: Shaped[np.ndarray, "x y z"], like: str | Path) -> None:
    """Write atomically on the grid of the scan `like`, with its affine and codes bit by bit, and none of its text.

    bool becomes uint8, other types float32.
    """
    header = nib.Nifti1Header.from_header(_opened(Path(like)).header)
    header.extensions.clear()
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        header[name] = b""
    for name in ("cal_min", "cal_max", "intent_code"):
        header[name] = 0
    dtype = np.uint8 if data.dtype == bool else np.float32
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    with atomic(path) as part:
        nib.save(nib.Nifti1Image(np.asarray(data, dtype=dtype), None, header), part)


def same_grid(a: Volume, b: Volume, tolerance: float = 1e-2) -> bool:
    """Whether two volumes have one shape and affines equal within `tolerance` mm."""
    return a.data.shape == b.data.shape and bool(np.allclose(a.affine, b.affine, atol=tolerance))


def _opened(path: Path) -> SpatialImage:
    if not path.is_file():
        raise InputError(f"{path.name} does not exist", file=path, do="correct the path or fetch the data set")
    try:
        return nib.load(path)
    except ImageFileError as error:
        raise InputError(f"{path.name} is not NIfTI", file=path, why=str(error), do="convert it to .nii.gz") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        why = str(error) or "the file ends too early"
        raise InputError(f"{path.name} is broken", file=path, why=why, do="copy it again") from None


def _load(path: Path) -> Volume:
    image = _opened(path)
    try:
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        why = str(error) or "the file ends too early"
        raise InputError(f"{path.name} is broken", file=path, why=why, do="copy it again") from None
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        why = f"it has the shape {data.shape}"
        raise InputError(f"{path.name} is not a 3D volume", file=path, why=why, do="extract one volume of it")
    _check_affine(path, image)
    if not np.isfinite(data).all():
        why = f"{int((~np.isfinite(data)).sum())} voxels are NaN or infinite"
        raise InputError(f"{path.name} holds values that are no numbers", file=path, why=why, do="export it again")
    return _to_ras(data, image.affine)


def _check_affine(path: Path, image: SpatialImage) -> None:
    do = "export it again from the scanner's own files"
    affine = image.affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(f"{path.name} has a singular affine", file=path, why="a voxel has the size 0", do=do)
    header = image.header
    if isinstance(header, nib.Nifti1Header) and header["sform_code"] == 0 and header["qform_code"] == 0:
        why = "sform and qform codes are 0: left and right, up and down are unknown"
        raise InputError(f"{path.name} has no affine", file=path, why=why, do=do)


def _to_ras(data: Shaped[np.ndarray, "x y z"], affine: Float[np.ndarray, "4 4"]) -> Volume:
    orientation = nib.orientations.io_orientation(affine)
    upright = nib.orientations.apply_orientation(data, orientation)
    affine = affine @ nib.orientations.inv_ornt_aff(orientation, data.shape)
    return Volume(np.ascontiguousarray(upright), np.asarray(affine, dtype=float))
