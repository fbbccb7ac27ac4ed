"""Headers of NIfTI-1, NIfTI-2 and MGH files, judged before any voxel is read.

What a header leaves open but can mean only one thing is read, with a note; what it contradicts is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError

from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.whole_file import LARGEST_FILE, Content
from brainuad.units import format_size

Matrix = Float[np.ndarray, "4 4"]
VOXEL_MM = (0.1, 20.0)
EXTENT_MM = (40.0, 600.0)
FEWEST_VOXELS = 8
"""Along each side of a scan."""
MOST_VOXELS = 2**29
"""Of one volume: a head at 0.3 mm."""
FARTHEST_MM = 1e5
"""From the origin to the first voxel."""
LARGEST_SHEAR = 0.5
"""The smallest volume of a voxel, as a share of the product of its sides."""
DIFFERENCE_MM = 0.1
"""sform and qform that place a corner farther apart differ, and a note says so."""
QUATERNION_TOLERANCE = 1e-3
UNITS = {1: ("metre", 1000.0), 2: ("mm", 1.0), 3: ("micrometre", 0.001)}
"""Units of length by their code in `xyzt_units`, and how many mm they are."""
EXPORT = "export it again from the scanner's own files"
_VOXEL = f"{VOXEL_MM[0]:g} to {VOXEL_MM[1]:g} mm"
_EXTENT = f"{EXTENT_MM[0]:g} to {EXTENT_MM[1]:g} mm"
HANDLED = (
    Handling(
        "header",
        "NIfTI-1, NIfTI-2, pairs of `.hdr` and `.img`, MGH; either byte order",
        "accepted",
        "they are read as they are",
    ),
    Handling(
        "header",
        "Analyze, which stores no orientation; DICOM, MetaImage, NRRD and others",
        "refused",
        "the reason names the format",
    ),
    Handling(
        "header",
        "axes in any order and direction, oblique, sheared by a gantry tilt",
        "accepted",
        "the affine of the header places the voxels",
    ),
    Handling(
        "header",
        "metre or micrometre as unit of length (`xyzt_units`)",
        "converted",
        "lengths are converted to mm, with a note",
    ),
    Handling(
        "header", "no unit of length", "accepted", "lengths are taken as mm, if the scan then has the size of a head"
    ),
    Handling(
        "header",
        "a unit with which voxels have an impossible size, where mm give a possible one",
        "converted",
        "lengths are taken as mm, with a note",
    ),
    Handling("header", f"voxels whose sides are not {_VOXEL} long", "refused", "the reason names the size"),
    Handling("header", f"a scan whose sides are not {_EXTENT} long", "refused", "the reason names the size"),
    Handling(
        "header",
        f"fewer than {FEWEST_VOXELS} voxels a side, or more than {MOST_VOXELS // 10**6} million in all",
        "refused",
        "the reason names the shape, before memory is allocated",
    ),
    Handling(
        "header",
        f"a first voxel more than {FARTHEST_MM / 1000:g} m from the origin, axes far from right angles",
        "refused",
        "remedy: correct the affine, or resample the scan",
    ),
    Handling("header", "more bytes claimed than the file can hold", "refused", "the reason names both sizes"),
    Handling("header", "RGB, RGBA, bits, an unknown type", "refused", "the reason names the type"),
    Handling(
        "header",
        "a slope of 0, NaN or infinity",
        "accepted",
        "stored values are used unscaled; a note says where an offset is ignored",
    ),
    Handling("header", "a slope with an offset that is NaN or infinite", "refused", "the reason names the fields"),
    Handling("header", "a dimension of 0 or below, an impossible offset of the data", "refused", "the reason names it"),
    Handling(
        "header",
        "a voxel size below 0, no handedness (qfac 0)",
        "converted",
        "the size is taken as positive, qfac as 1, as NIfTI defines, with a note",
    ),
    Handling(
        "header",
        f"a quaternion whose squared length exceeds 1 by more than {QUATERNION_TOLERANCE:g}",
        "refused",
        "the reason names it; where the header has an sform, that is used",
    ),
    Handling("header", "neither sform nor qform", "refused", "left and right are not known"),
    Handling(
        "header", "one of sform and qform holds NaN or a size of 0", "converted", "the other is taken, with a note"
    ),
    Handling(
        "header",
        f"sform and qform that place voxels more than {DIFFERENCE_MM:g} mm apart",
        "converted",
        "the sform is taken, with a note of the distance",
    ),
    Handling(
        "header",
        "sform and qform that disagree on left and right",
        "refused",
        "remedy: set the code of the wrong one to 0",
    ),
    Handling(
        "header", "voxel sizes that differ between sform and pixdim", "converted", "the sform's are taken, with a note"
    ),
)


@dataclass(frozen=True)
class World:
    """Where a header places the voxels. `matrix`: voxel index to mm; `code`: of NIfTI, above 0."""

    matrix: Matrix
    code: int


@dataclass(frozen=True)
class Header:
    """`shape`: at least 3 numbers, no 1 at the end beyond; `worlds`: by `sform` and `qform`, the one that counts first.

    `offset`: of the first voxel in its file; `slope`, `inter`: of the stored values, None for none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    worlds: dict[str, World]
    slope: float | None = None
    inter: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def affine(self) -> Matrix:
        """Voxel index to mm."""
        return next(iter(self.worlds.values())).matrix

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume."""
        return prod(self.shape[:3]) * self.dtype.itemsize

    @property
    def volumes(self) -> int:
        """How many volumes there are."""
        return prod(self.shape[3:])


class RefusedError(Exception):
    """What is wrong with a header: `what` completes a sentence that begins with the file's name."""

    def __init__(self, what: str, why: str, do: str = EXPORT):
        super().__init__(what)
        self.what, self.why, self.do = what, why, do

    def of(self, path: Path) -> InputError:
        """The error for a file."""
        return InputError(f"{path.name} {self.what}", file=path, why=self.why, do=self.do)


def nifti_header(block: bytes, single: bool) -> Header:
    """Judge the first 348 or 540 bytes; `single`: whether the voxels are in the same file. Raises RefusedError."""
    stored = as_stored(block)
    notes: list[str] = []
    shape, dtype = _shape([int(n) for n in stored["dim"]]), _dtype(stored)
    offset = _offset(float(stored["vox_offset"]), int(stored["sizeof_hdr"]), single)
    slope, inter = _scaling(float(stored["scl_slope"]), float(stored["scl_inter"]), notes)
    worlds = _worlds(stored, shape, notes)
    return Header(shape, dtype, offset, worlds, slope, inter, notes)


def as_stored(block: bytes) -> nib.Nifti1Header:
    """The first 348 or 540 bytes of NIfTI as they are; the first four say which, and in which byte order."""
    kind = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
    sizes = {int.from_bytes(block[:4], order): order for order in ("little", "big")}
    size = next(iter(sizes.keys() & kind.keys()))
    return kind[size](block[:size], endianness="<" if sizes[size] == "little" else ">", check=False)


def mgh_header(block: bytes) -> Header:
    """Judge the first 284 bytes of an MGH file. Raises RefusedError."""
    stored = MGHHeader(block, check=False)
    shape = _shape([4, *(int(n) for n in stored["dims"])])
    try:
        dtype = stored.get_data_dtype().newbyteorder(">")
    except KeyError:
        raise RefusedError("has an unknown type of values", f"its code is {int(stored['type'])}") from None
    if not int.from_bytes(block[28:30], "big"):
        raise RefusedError("has no affine", "goodRASFlag is 0: left and right, up and down are unknown")
    affine = np.asarray(stored.get_affine(), dtype=float)
    if problem := _problem(affine):
        raise RefusedError("has a singular affine", problem)
    return Header(shape, dtype, 284, {"sform": World(affine, 1)})


def judge_claim(header: Header, content: Content) -> None:
    """Raises RefusedError if the header claims more bytes than the file can hold, or more voxels than are read."""
    claimed, voxels = header.offset + header.volume_bytes * header.volumes, " x ".join(f"{n:,}" for n in header.shape)
    if claimed > content.largest:
        why = f"its header claims {voxels} voxels, {format_size(claimed)}; the file has {format_size(content.size)}"
        why += f", which unpack to {format_size(content.largest)} at most" if content.compressed else ""
        raise RefusedError("is broken", why, "copy it again, or correct its header")
    if prod(header.shape[:3]) > MOST_VOXELS or claimed > LARGEST_FILE:
        why = f"its header claims {voxels} voxels; {MOST_VOXELS:,} are read at most"
        raise RefusedError("is too large for a scan", why, "resample it to larger voxels, or correct its header")


def judge_head(header: Header) -> None:
    """Raises RefusedError if voxels or extent cannot be those of a head, or if left and right are in doubt."""
    if len(header.worlds) == 2 and (why := _contradiction(*header.worlds.values())):
        raise RefusedError("contradicts itself on left and right", why, "set the code of the wrong one to 0")
    sides = np.sqrt((header.affine[:3, :3] ** 2).sum(axis=0))
    extent = sides * header.shape[:3]
    text = " x ".join(f"{size:.3g}" if size < 1000 else f"{size:,.0f}" for size in extent)
    voxels = " x ".join(str(n) for n in header.shape[:3])
    if min(header.shape[:3]) < FEWEST_VOXELS:
        why = f"it has {voxels} voxels, at least {FEWEST_VOXELS} a side are needed"
        raise RefusedError("is too small for a head", why, "give the whole scan")
    if not _is_plausible(sides):
        size = " x ".join(f"{side:.3g}" for side in sides)
        why = f"its voxels are {size} mm, those of a scan {_VOXEL}; the whole of it has {text} mm"
        raise RefusedError("has no voxels of a head scan", why, "correct the affine and its unit (`xyzt_units`)")
    if not (EXTENT_MM[0] * 0.999 <= extent.min() and extent.max() <= EXTENT_MM[1] * 1.001):
        why = f"it extends over {text} mm, the scan of a head over {_EXTENT} a side"
        raise RefusedError("does not have the size of a head", why, "correct the affine and its unit (`xyzt_units`)")
    if (distance := float(np.abs(header.affine[:3, 3]).max())) > FARTHEST_MM:
        raise RefusedError(
            "lies too far away", f"its first voxel is {distance:.3g} mm from the origin", "correct the affine"
        )
    if abs(np.linalg.det(header.affine[:3, :3])) < LARGEST_SHEAR * sides.prod():
        raise RefusedError("is sheared", "its axes are far from right angles", "resample it to axes at right angles")


def _shape(dim: list[int]) -> tuple[int, ...]:
    rank, sides = dim[0], dim[1:]
    if not 1 <= rank <= 7:
        raise RefusedError("is no image", f"its number of dimensions (dim[0]) is {rank}")
    shape = tuple(sides[:rank])
    if min(shape) < 1:
        raise RefusedError("is no image", f"its header gives the shape {shape}")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 3:
        raise RefusedError("is not a 3D volume", f"it has the shape {shape}", "give the 3D scan")
    return shape


def _dtype(stored: nib.Nifti1Header) -> np.dtype:
    code = int(stored["datatype"])
    try:
        dtype = stored.get_data_dtype()
        name = str(stored.get_value_label("datatype"))
    except (HeaderDataError, KeyError, ValueError):
        raise RefusedError("has an unknown type of values", f"its code (datatype) is {code}") from None
    if dtype.kind not in "iufc" or not dtype.itemsize:
        what, do = "holds no real numbers", "give the grey-scale scan"
        if code == 0:
            what, do = "has an unknown type of values", EXPORT
        raise RefusedError(what, f"its type is {name} (datatype {code})", do)
    return dtype


def _offset(offset: float, size: int, single: bool) -> int:
    least = size + 4 if single else 0
    if offset == 0:  # not set
        return least
    if not np.isfinite(offset) or offset != int(offset) or offset < least:
        why = f"its voxels begin at byte {offset:.9g} (vox_offset), not at a whole number from {least} on"
        raise RefusedError("has an impossible header", why)
    return int(offset)


def _scaling(slope: float, inter: float, notes: list[str]) -> tuple[float | None, float | None]:
    if slope == 0 or not np.isfinite(slope):
        if np.isinf(slope) or (np.isfinite(inter) and inter != 0):
            notes.append(f"stored values are used: the slope of its header is {slope:g}, the offset {inter:g}")
        return None, None
    if not np.isfinite(inter):
        why = f"its slope (scl_slope) is {slope:g}, its offset (scl_inter) {inter:g}"
        raise RefusedError("has values without a scale", why, "correct scl_inter")
    return slope, inter


def _worlds(stored: nib.Nifti1Header, shape: tuple[int, ...], notes: list[str]) -> dict[str, World]:
    """By `sform` and `qform`, in mm, those that can be used. Raises RefusedError if none can, or if they contradict."""
    problems: dict[str, str] = {}
    found: dict[str, World] = {}
    if (code := int(stored["sform_code"])) > 0:
        matrix = np.asarray(stored.get_sform(), dtype=float)
        problems["sform"] = _problem(matrix)
        found["sform"] = World(matrix, code)
    if (code := int(stored["qform_code"])) > 0:
        try:
            found["qform"] = World(_qform(stored, found.get("sform"), notes), code)
            problems["qform"] = _problem(found["qform"].matrix)
        except RefusedError as error:
            problems["qform"] = error.why
    if not problems:
        why = "sform and qform codes are 0: left and right, up and down are unknown"
        raise RefusedError("has no affine", why)
    worlds = {name: world for name, world in found.items() if not problems[name]}
    if not worlds:
        raise RefusedError("has a singular affine", "; ".join(dict.fromkeys(problems.values())))
    notes += [f"its {name} cannot be used ({why}), the other was taken" for name, why in problems.items() if why]
    worlds = _in_mm(worlds, int(stored["xyzt_units"]) & 7, notes)
    if len(worlds) == 2:
        _compare(worlds["sform"], worlds["qform"], shape, notes)
    if "sform" in worlds and not any(note.startswith("sform and qform") for note in notes):
        _compare_sizes(stored, worlds["sform"].matrix, notes)
    return worlds


def _qform(stored: nib.Nifti1Header, sform: World | None, notes: list[str]) -> Matrix:
    """The affine by quaternion; what NIfTI allows to be mended is. Raises RefusedError."""
    header = stored.copy()
    sides = header["pixdim"][1:4]
    if (sides < 0).any():
        notes.append("sides of voxels below 0 (pixdim) were taken as above 0")
        header["pixdim"][1:4] = np.abs(sides)
    if header["pixdim"][0] not in (-1, 1):
        mirrored = sform is not None and np.linalg.det(sform.matrix[:3, :3]) < 0
        if sform is None:
            notes.append(f"its qfac (pixdim[0]) is {float(header['pixdim'][0]):g} and was taken as 1")
        header["pixdim"][0] = 1
        if mirrored and np.linalg.det(header.get_qform()[:3, :3]) > 0:
            header["pixdim"][0] = -1
    parts = np.array([header[f"quatern_{name}"] for name in "bcd"], dtype=float)
    length = float((parts**2).sum())
    if not length <= 1 + QUATERNION_TOLERANCE:
        raise RefusedError("has a singular affine", f"its quaternion has the length {np.sqrt(length):.3g}, not 1")
    try:
        return np.asarray(header.get_qform(), dtype=float)
    except ValueError:  # too long by more than rounding, but not by much
        for name, part in zip("bcd", parts / np.sqrt(length), strict=True):
            header[f"quatern_{name}"] = part
        return np.asarray(header.get_qform(), dtype=float)


def _problem(affine: Matrix) -> str:
    if not np.isfinite(affine).all():
        return "it holds NaN or infinity"
    sides = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if not sides.all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6 * sides.prod():
        return "a voxel has the size 0"
    return ""


def _in_mm(worlds: dict[str, World], code: int, notes: list[str]) -> dict[str, World]:
    name, factor = UNITS.get(code, ("", 1.0))
    if factor == 1:
        return worlds
    sides = np.sqrt((next(iter(worlds.values())).matrix[:3, :3] ** 2).sum(axis=0))
    if not _is_plausible(sides * factor) and _is_plausible(sides):
        size = " x ".join(f"{side:.3g}" for side in sides)
        notes.append(f"lengths were taken as mm: no scan has voxels of {size} {name}s, as the header says")
        return worlds
    notes.append(f"lengths were converted from {name}s to mm")
    scale = np.diag([factor, factor, factor, 1.0])
    return {key: replace(world, matrix=scale @ world.matrix) for key, world in worlds.items()}


def _is_plausible(sides: Float[np.ndarray, "3"]) -> bool:
    return bool(VOXEL_MM[0] * 0.999 <= sides.min() and sides.max() <= VOXEL_MM[1] * 1.001)


def _contradiction(sform: World, qform: World) -> str:
    """How the two disagree on left and right, if they do."""
    if np.linalg.det(sform.matrix[:3, :3]) * np.linalg.det(qform.matrix[:3, :3]) > 0:
        return ""
    axes = [f"{''.join(nib.aff2axcodes(world.matrix))} (code {world.code})" for world in (sform, qform)]
    return f"its axes run to {axes[0]} by the sform and to {axes[1]} by the qform"


def _compare(sform: World, qform: World, shape: tuple[int, ...], notes: list[str]) -> None:
    if contradiction := _contradiction(sform, qform):
        notes.append(f"sform and qform contradict each other on left and right: the sform was taken; {contradiction}")
        return
    corners = np.array([[*corner, 1] for corner in product(*[(0, n - 1) for n in shape[:3]])]).T
    distance = np.linalg.norm(((sform.matrix - qform.matrix) @ corners)[:3], axis=0).max()
    if distance > DIFFERENCE_MM:
        sizes = [np.sqrt((world.matrix[:3, :3] ** 2).sum(axis=0)) for world in (sform, qform)]
        note = f"sform and qform differ by up to {distance:.1f} mm: the sform (code {sform.code}) was taken"
        if not np.allclose(sizes[0], sizes[1], rtol=0.01):
            by_sform, by_qform = (" x ".join(f"{side:.3g}" for side in size) for size in sizes)
            note += f"; its voxels are {by_sform} mm, by the qform {by_qform} mm"
        notes.append(note)


def _compare_sizes(stored: nib.Nifti1Header, affine: Matrix, notes: list[str]) -> None:
    factor = UNITS.get(int(stored["xyzt_units"]) & 7, ("", 1.0))[1]
    pixdim = np.abs(np.asarray(stored["pixdim"][1:4], dtype=float))
    sides = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    alike = any(np.allclose(sides, pixdim * scale, rtol=0.01) for scale in (1, factor))
    if np.isfinite(pixdim).all() and pixdim.all() and not alike:
        by_sform, by_pixdim = (" x ".join(f"{side:.3g}" for side in size) for size in (sides, pixdim))
        notes.append(f"its voxels are {by_sform} mm by the sform, which was taken, and {by_pixdim} by pixdim")
