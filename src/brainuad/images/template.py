"""Templates on grids of any voxel size: MNI152 (ICBM 2009a, nonlinear, symmetric) from nilearn, or a user's own file.

The T1w of MNI152 is skull-stripped. Its files are read from the folder of nilearn, whose import would take 1.3 s.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Bool, Float
from nibabel.filebasedimages import ImageFileError
from scipy import ndimage

from brainuad.config import templates
from brainuad.errors import InputError
from brainuad.images.resample import resample, resample_mask

EXTENT = np.array([[-72.0, 72.0], [-107.0, 73.0], [-72.0, 82.0]])
"""Ends of MNI152's brain along x, y and z, in mm."""
BRAIN_ML = (900.0, 2500.0)
"""Range of the volume of a template's brain, that of an adult, in ml."""


@dataclass(frozen=True, eq=False)
class Template:
    """`t1`: stripped T1 in [0, 1]; `brain`: mask; both (x, y, z). `affine`: voxel index to the template's mm.

    `from_mni`: MNI mm to the template's mm, from the extents of the two brains.
    """

    t1: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    from_mni: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))

    def at(self, point: Sequence[float] | Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """A point of the brain in the template's mm; `point`: in MNI mm."""
        found: np.ndarray = (self.from_mni @ [*point, 1])[:3]
        return found

    @cached_property
    def inside_mm(self) -> Float[np.ndarray, "x y z"]:
        """How deep each voxel of the brain lies in it."""
        return self._distance(self.brain)

    @cached_property
    def outside_mm(self) -> Float[np.ndarray, "x y z"]:
        """How far each voxel outside of the brain lies from it."""
        return self._distance(~self.brain)

    def _distance(self, mask: Bool[np.ndarray, "x y z"]) -> Float[np.ndarray, "x y z"]:
        return np.asarray(ndimage.distance_transform_edt(mask) * float(np.linalg.norm(self.affine[:3, 0])))

    @property
    def offset(self) -> Float[np.ndarray, "3"]:
        """The origin of MNI in the template's mm."""
        return self.at((0, 0, 0))


@dataclass(frozen=True, eq=False)
class Mni152(Template):
    """The bundled template with its tissue maps."""

    @cached_property
    def grey(self) -> Float[np.ndarray, "x y z"]:
        """Probability of grey matter in [0, 1], read on first use."""
        return _on_grid("gm", self.t1.shape, self.affine)

    @cached_property
    def white(self) -> Float[np.ndarray, "x y z"]:
        """Probability of white matter in [0, 1], read on first use."""
        return _on_grid("wm", self.t1.shape, self.affine)


def load(name: str, spacing: float) -> Template:
    """The template that a recipe names, at `spacing` mm; raises InputError if its file cannot be used."""
    return mni152(spacing) if name == templates.BUNDLED else own(name, spacing)


def fingerprint(name: str) -> str:
    """SHA-256 of the grid and the values of the file behind a template, whatever the voxel size that is used."""
    values, affine = _load("t1") if name == templates.BUNDLED else _upright(Path(name))
    found = hashlib.sha256(str((values.shape, np.round(affine, 3).tolist())).encode())
    found.update(np.ascontiguousarray(values, dtype=np.float32).data)
    return found.hexdigest()


@cache
def own(name: str, spacing: float) -> Template:
    """A user's template (`preprocess.template`) at `spacing` mm, its axes to the right, front and top.

    Raises ConfigError if the file is not there, InputError if it is no image or has no brain mask.
    """
    templates.check(name)
    path, mask_path = Path(name), templates.mask_of(Path(name))
    whole, affine = _upright(path)
    if mask_path.is_file():
        mask, mask_affine = _upright(mask_path)
        brain = resample_mask(mask > 0.5, mask_affine, _shape(whole), affine)
    else:
        brain = ndimage.binary_fill_holes(whole > 0)
    ml = float(brain.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)
    if not BRAIN_ML[0] <= ml <= BRAIN_ML[1]:
        why = f"its mask has {ml:.0f} ml, a brain has {BRAIN_ML[0]:g} to {BRAIN_ML[1]:g}"
        do = f"use a stripped template, or put its brain mask beside it as {mask_path.name}"
        raise InputError("the template has no brain mask", file=path, why=why, do=do)
    t1 = np.where(brain, np.clip(whole / np.percentile(whole[brain], 99.9), 0, 1), 0)
    step = np.linalg.norm(affine[:3, :3], axis=0)
    size = [int(np.ceil((n - 1) * s / spacing - 1e-6)) + 1 for n, s in zip(whole.shape, step, strict=True)]
    target = affine @ np.diag([*(spacing / step), 1.0])
    shape = (size[0], size[1], size[2])
    image = np.clip(resample(t1, affine, shape, target), 0, 1)
    return Template(image, resample_mask(brain, affine, shape, target), target, _from_mni(brain, affine))


def _from_mni(brain: Bool[np.ndarray, "x y z"], affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Scales and shifts the extent of MNI152's brain to that of the template's."""
    ends = np.array([np.flatnonzero(brain.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2), (0, 1))], dtype=float)
    low, high = ((affine @ [*end, 1])[:3] for end in ends.T)
    stretch = (high - low) / (EXTENT[:, 1] - EXTENT[:, 0])
    matrix = np.diag([*stretch, 1.0])
    matrix[:3, 3] = low - stretch * EXTENT[:, 0]
    return matrix


def _upright(path: Path) -> tuple[Float[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """An image with its axes to the right, front and top."""
    try:
        if path.suffix.lower() in (".gz", ".mgz"):  # nibabel stops before the checksum
            with gzip.open(path) as file:
                while file.read(2**20):
                    pass
        image = nib.as_closest_canonical(nib.load(path))
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (ImageFileError, OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        raise InputError("the template cannot be read", file=path, why=str(error), do="copy it again") from None
    if data.ndim == 4 and data.shape[3] == 1:  # as SRI24 and some others come
        data = data[..., 0]
    if data.ndim != 3 or not np.isfinite(data).all():
        why = f"it has the shape {data.shape}, or values that are no numbers"
        raise InputError("the template is no 3D volume", file=path, why=why, do="correct the file")
    return data, image.affine


def _shape(data: np.ndarray) -> tuple[int, int, int]:
    x, y, z = data.shape
    return x, y, z


@cache
def mni152(spacing: float = 2.0) -> Mni152:
    """The template at `spacing` mm; 2 mm gives 99 x 117 x 95 voxels. Raises InputError if nilearn is not installed."""
    whole, affine = _load("t1")
    x, y, z = (int(np.ceil((n - 1) / spacing)) + 1 for n in whole.shape)
    target = affine @ np.diag([spacing, spacing, spacing, 1.0])
    shape = (x, y, z)
    return Mni152(_on_grid("t1", shape, target), _on_grid("brain", shape, target) > 0.5, target)


def _on_grid(name: str, shape: tuple[int, int, int], target: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "x y z"]:
    data, affine = _load(name)
    return np.clip(resample(data, affine, shape, target), 0, 1)


@cache
def _load(name: str) -> tuple[Float[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """A 1 mm map scaled to [0, 1] and its affine; `brain` is where the stripped T1 has signal."""
    if name == "brain":
        t1, affine = _load("t1")
        return (t1 > 0).astype(np.float32), affine
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise InputError("the MNI152 template is missing", why="nilearn carries it", do="pip install nilearn")
    file = f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    image = nib.load(Path(spec.origin).parent / "datasets" / "data" / file)
    data = np.asarray(image.dataobj, dtype=np.float32)
    return data / data.max(), image.affine
