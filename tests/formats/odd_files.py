"""A small head in files as other programs, broken disks and servers leave them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (20, 24, 18)
AFFINE = np.array([[9.0, 0, 0, -90], [0, 9, 0, -110], [0, 0, 9, -80], [0, 0, 0, 1]])
Fields = dict[str, object]


def head() -> np.ndarray:
    """int16, 0 around an ellipsoid."""
    x, y, z = np.mgrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    inside = x**2 / 0.6 + y**2 / 0.8 + z**2 / 0.7 < 1
    return (inside * (1000 + 150 * np.sin(9 * x) * np.cos(7 * y) + 40 * z)).astype(np.int16)


HEAD = head()


def block(data: np.ndarray = HEAD, fields: Fields | None = None, endian: str = "<") -> bytes:
    """A NIfTI-1 file; `fields` of its header are set without any check."""
    header = nib.Nifti1Header(endianness=endian)
    header.set_data_shape(data.shape)
    header.set_data_dtype(data.dtype)
    header.set_sform(AFFINE, 1)
    header.set_qform(AFFINE, 1)
    header.set_xyzt_units("mm", "sec")
    header["vox_offset"] = 352
    for key, value in (fields or {}).items():
        header[key] = value
    return header.binaryblock + bytes(4) + data.astype(data.dtype.newbyteorder(endian)).tobytes(order="F")


PLAIN = block()
PACKED = gzip.compress(PLAIN, 1)


def image(data: np.ndarray, affine: np.ndarray = AFFINE, unit: str = "mm", **kind: object) -> bytes:
    made = kind.pop("cls", nib.Nifti1Image)(data, affine, **kind)
    if unit != "mm" or isinstance(made, nib.Nifti1Image):
        made.header.set_xyzt_units(unit)
    return gzip.compress(made.to_bytes(), 1)


def two_affines(sform: np.ndarray, qform: np.ndarray) -> bytes:
    made = nib.Nifti1Image(HEAD, None)
    made.set_sform(sform, 2)
    made.set_qform(qform, 1)
    return made.to_bytes()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def turned() -> np.ndarray:
    angle = np.radians(6)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = 3, -12, 5
    return turn @ AFFINE


def scaled(factor: float) -> np.ndarray:
    return np.diag([factor] * 3 + [1]) @ AFFINE


def colour() -> np.ndarray:
    made = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    for channel in "RGB":
        made[channel] = HEAD // 8
    return made


def extended(size: int) -> bytes:
    """With an extension that gives this as its size, in 32 bytes."""
    extension = b"\1\0\0\0" + size.to_bytes(4, "little") + (6).to_bytes(4, "little") + bytes(24)
    start = block(fields={"vox_offset": 352 + 32})
    return start[:348] + extension + start[352:]


def mgh(good: bool = True) -> bytes:
    made = bytearray(nib.MGHImage(HEAD.astype(np.float32), AFFINE).to_bytes())
    made[28:30] = int(good).to_bytes(2, "big")
    return bytes(made)


PHASE = np.exp(1j * np.linspace(-1.1, 1.1, SHAPE[0]))[:, None, None]
PERMUTED = np.array([[0, -1, 0, SHAPE[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)  # new voxel to old
LEFT_HANDED = np.ascontiguousarray(HEAD[::-1].transpose(2, 0, 1))


@dataclass(frozen=True)
class Case:
    """`words`: of the note, or of the reason if the file is refused; `values`: expected, those of `HEAD` if None."""

    content: bytes | Callable[[], bytes]
    answer: str
    words: tuple[str, ...] = ()
    name: str = "scan.nii.gz"
    values: np.ndarray | None = None

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.content if isinstance(self.content, bytes) else self.content())
        return path


def accepted(content: bytes | Callable[[], bytes], name: str = "scan.nii.gz", values: np.ndarray | None = None) -> Case:
    return Case(content, "accepted", (), name, values)


def noted(content: bytes | Callable[[], bytes], *words: str, values: np.ndarray | None = None) -> Case:
    return Case(content, "converted", words, values=values)


def refused(content: bytes | Callable[[], bytes], *words: str, name: str = "scan.nii.gz") -> Case:
    return Case(content, "refused", words, name)


def with_fields(**fields: object) -> bytes:
    return block(fields=fields)


STORAGES = {
    "gzip": accepted(PACKED),
    "gzip, capitals": accepted(PACKED, "SCAN.NII.GZ"),
    "gzip named nii": accepted(PACKED, "scan.nii"),
    "plain named gz": accepted(PLAIN),
    "plain": accepted(PLAIN, "scan.nii"),
    "a line break in the name": accepted(PACKED, "a\nscan.nii.gz"),
    "two members": accepted(gzip.compress(PLAIN[:9000]) + gzip.compress(PLAIN[9000:])),
    "an empty member": accepted(gzip.compress(b"") + PACKED),
    "zeros behind": accepted(PACKED + bytes(512)),
    "something behind": noted(PACKED + b"junk" * 100, "left out"),
    "voxels behind": noted(PLAIN + bytes(99), "99 bytes"),
    "big-endian": accepted(block(endian=">")),
    "one volume": accepted(image(HEAD[..., None])),
    "one volume, 5D": accepted(image(HEAD[..., None, None])),
    "NIfTI-2, int64": accepted(image(HEAD.astype(np.int64), cls=nib.Nifti2Image, dtype="int64")),
    "permuted, left-handed": accepted(image(LEFT_HANDED, AFFINE @ PERMUTED)),
    "extension": accepted(extended(32)),
    "extension of a wrong size": accepted(extended(7)),
    "MGH": accepted(mgh, "scan.mgh"),
    "MGZ": accepted(lambda: gzip.compress(mgh()), "scan.mgz"),
    **{
        name: accepted(image(HEAD.astype(name), dtype=name))
        for name in ("uint16", "int32", "uint32", "uint64", "float32", "float64")
    },
    "int8": accepted(block((HEAD // 16).astype(np.int8)), values=HEAD // 16),
    "a negative slope": accepted(with_fields(scl_slope=-1, scl_inter=9), values=9 - HEAD.astype(float)),
    "no unit": accepted(with_fields(xyzt_units=0)),
}
HEADERS = {
    "metres": noted(image(HEAD, scaled(1e-3), "meter"), "metres"),
    "micrometres": noted(image(HEAD, scaled(1e3), "micron"), "micrometres"),
    "mm that are called metres": noted(image(HEAD, AFFINE, "meter"), "taken as mm"),
    "a slope of NaN": accepted(with_fields(scl_slope=np.nan, scl_inter=np.nan)),
    "a slope of infinity": noted(with_fields(scl_slope=np.inf, scl_inter=0), "inf"),
    "a slope of 0": noted(with_fields(scl_slope=0, scl_inter=-1024), "-1024"),
    "an offset of NaN": refused(with_fields(scl_slope=1, scl_inter=np.nan), "scl_inter", "nan"),
    "an offset of infinity": refused(with_fields(scl_slope=1, scl_inter=np.inf), "scl_inter", "inf"),
    "all values become 0": refused(with_fields(scl_slope=1e-40, scl_inter=0), "differ"),
    "an unknown type": refused(with_fields(datatype=5), "datatype", "5"),
    "type 0": refused(with_fields(datatype=0), "datatype 0"),
    "128 bits": refused(with_fields(datatype=1536), "datatype 1536"),
    "bits": refused(with_fields(datatype=1), "datatype 1"),
    "qfac 0": noted(with_fields(pixdim=[0, 9, 9, 9, 1, 1, 1, 1], sform_code=0), "qfac"),
    "qfac 0 and an sform of the other handedness": noted(
        with_fields(srow_x=[-9, 0, 0, 81], pixdim=[0, 9, 9, 9, 1, 1, 1, 1]), "differ", values=HEAD[::-1]
    ),
    "a bad quaternion": refused(with_fields(quatern_b=0.9, quatern_c=0.9, sform_code=0), "quaternion", "1.27"),
    "a NaN in the quaternion": refused(with_fields(quatern_b=np.nan, sform_code=0), "quaternion"),
    "a bad quaternion and an sform": noted(with_fields(quatern_b=0.9, quatern_c=0.9), "qform", "quaternion"),
    "a quaternion that is a bit too long": accepted(
        with_fields(quatern_b=1.00002, sform_code=0), values=HEAD[:, ::-1, ::-1]
    ),
    "negative pixdim": noted(with_fields(pixdim=[1, -9, 9, 9, 1, 1, 1, 1], sform_code=0), "below 0"),
    "pixdim of 0": refused(with_fields(pixdim=[1, 0, 9, 9, 1, 1, 1, 1], sform_code=0), "size 0"),
    "NaN in the sform": noted(with_fields(srow_x=[np.nan] * 4), "sform", "NaN"),
    "NaN in both": refused(with_fields(srow_x=[np.nan] * 4, qoffset_x=np.nan), "NaN"),
    "no affine": refused(with_fields(sform_code=0, qform_code=0), "left and right"),
    "singular": refused(with_fields(srow_x=[0] * 4, qform_code=0), "size 0"),
    "an offset past the end": refused(gzip.compress(with_fields(vox_offset=1e7)), "broken"),
    "an offset past the end, plain": refused(with_fields(vox_offset=1e5), "117.3 kB", "17.6 kB"),
    "half a byte of offset": refused(with_fields(vox_offset=352.5), "352.5"),
    "an offset of 0": accepted(with_fields(vox_offset=0)),
    "an offset within the header": refused(with_fields(vox_offset=348), "vox_offset", "352"),
    "an offset of NaN bytes": refused(with_fields(vox_offset=np.nan), "vox_offset"),
    "dimension 0": refused(with_fields(dim=[3, 0, 24, 18, 1, 1, 1, 1]), "(0, 24, 18)"),
    "a negative dimension": refused(with_fields(dim=[3, -20, 24, 18, 1, 1, 1, 1]), "-20"),
    "no dimensions": refused(with_fields(dim=[0, 20, 24, 18, 1, 1, 1, 1]), "dim[0]"),
    "99 dimensions": refused(with_fields(dim=[99, 20, 24, 18, 1, 1, 1, 1]), "dim[0]"),
    "30000 voxels a side": refused(gzip.compress(with_fields(dim=[3, *[30000] * 3, 1, 1, 1, 1])), "54.0 TB", "kB"),
    "few claimed": refused(gzip.compress(with_fields(dim=[3, 20, 8, 18, 1, 1, 1, 1])), "header"),
    "too many claimed": refused(gzip.compress(with_fields(dim=[3, 20, 24, 19, 1, 1, 1, 1])), "17,632", "18,592"),
    "RGB": refused(image(colour()), "RGB"),
    "complex": refused(image(HEAD * PHASE), "complex", "magnitude"),
    "a series": refused(image(np.stack([HEAD] * 3, -1)), "(20, 24, 18, 3)", "volume: 0"),
    "vectors": refused(image(np.stack([HEAD] * 3, -1)[:, :, :, None]), "(20, 24, 18, 1, 3)"),
    "2D": refused(image(HEAD[:, :, 9]), "(20, 24)"),
    "one slice": refused(image(HEAD[:, :, 9:10]), "20 x 24 x 1"),
    "three slices": refused(image(HEAD[:, :, 9:12]), "20 x 24 x 3"),
    "four voxels": refused(image(HEAD[8:12, 8:12, 8:12]), "4 x 4 x 4"),
    "ten times too large": refused(image(HEAD, scaled(10)), "90 x 90 x 90"),
    "larger than a head": refused(image(HEAD, scaled(3)), "540 x 648 x 486"),
    "a tenth": refused(image(HEAD, scaled(0.01)), "0.09"),
    "smaller than a head": refused(image(HEAD, scaled(0.2)), "36 x 43.2"),
    "metres without a unit": refused(with_fields(srow_x=[0.009, 0, 0, 0], srow_y=[0, 0.009, 0, 0],
                                                 srow_z=[0, 0, 0.009, 0], qform_code=0, xyzt_units=0), "0.009", "unit"),
    "sheared": refused(image(HEAD, AFFINE @ np.array([[1, 3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])), "mm"),
    "sform and qform": noted(two_affines(turned(), AFFINE), "differ", "mm", values=HEAD),
    "sform and qform, mirrored": refused(two_affines(np.diag([-1, 1, 1, 1]) @ AFFINE, AFFINE), "LAS", "RAS", "code"),
    "voxels of another size": noted(two_affines(AFFINE @ np.diag([2, 2, 1, 1]), AFFINE), "18 x 18 x 9", "9 x 9 x 9"),
    "pixdim of another size": noted(with_fields(pixdim=[1, 4.5, 4.5, 4.5, 1, 1, 1, 1], qform_code=0), "4.5"),
    "MGH without an affine": refused(lambda: mgh(good=False), "goodRASFlag"),
    "far away": refused(with_fields(srow_x=[9, 0, 0, 1e30], qform_code=0), "1e+30"),
    "a slope beyond all numbers": refused(with_fields(scl_slope=3e38, scl_inter=3e38), "no numbers"),
    "constant": refused(block(HEAD * 0 + 7), "every voxel is 7"),
}  # fmt: skip
FOREIGN = {
    "a flipped bit in the checksum": refused(flipped(PACKED, 8 * len(PACKED) - 60), "broken"),
    "cut": refused(PACKED[:2000], "broken"),
    "cut, plain": refused(PLAIN[:2000], "broken", name="scan.nii"),
    "cut within the header": refused(PLAIN[:200], "header"),
    "gzip twice": refused(gzip.compress(PACKED), "twice"),
    "empty": refused(b"", "0 bytes"),
    "gzip of nothing": refused(gzip.compress(b""), "not NIfTI"),
    "git-annex": refused(b"/annex/objects/MD5E-s1--0123456789abcdef0123456789abcdef.nii.gz\n", "datalad get"),
    "Git LFS": refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "a web page": refused(b"<!DOCTYPE html><html><body>Please sign in</body></html>" * 10, "web page"),
    "text": refused(b"subject,age\n1,33\n" * 40, "text", "subject,age"),
    "DICOM": refused(bytes(128) + b"DICM" + bytes(999), "DICOM"),
    "MetaImage": refused(b"ObjectType = Image\nNDims = 3\n" * 20, "MetaImage"),
    "NumPy": refused(b"\x93NUMPY\1\0" + bytes(999), "NumPy"),
    "zip": refused(b"PK\3\4" + bytes(999), "zip"),
    "zeros": refused(bytes(9999), "zeros"),
    "Analyze": refused(PLAIN[:344] + bytes(4) + PLAIN[348:], "Analyze"),
    "half a pair": refused(PLAIN[:344] + b"ni1\0" + PLAIN[348:], ".img"),
}
