"""The MNI152 (ICBM 2009a nonlinear) template that nilearn carries, on grids of any voxel size.

The T1 is skull-stripped. Files are read where nilearn is installed, without importing it (1.3 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Bool, Float

from brainuad.errors import InputError
from brainuad.images.resample import resample


@dataclass(frozen=True)
class Template:
    """`t1`: stripped T1 in [0, 1]; `brain`: mask; both (x, y, z). `affine`: voxel index to MNI mm."""

    t1: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]

    @cached_property
    def grey(self) -> Float[np.ndarray, "x y z"]:
        """Probability of grey matter in [0, 1], read when first asked for."""
        return _on_grid("gm", self.t1.shape, self.affine)

    @cached_property
    def white(self) -> Float[np.ndarray, "x y z"]:
        """Probability of white matter in [0, 1], read when first asked for."""
        return _on_grid("wm", self.t1.shape, self.affine)


@cache
def mni152(spacing: float = 2.0) -> Template:
    """The template at `spacing` mm; 2 mm gives 99 x 117 x 95 voxels. Raises InputError if nilearn is not installed."""
    whole, affine = _load("t1")
    x, y, z = (int(np.ceil((n - 1) / spacing)) + 1 for n in whole.shape)
    target = affine @ np.diag([spacing, spacing, spacing, 1.0])
    shape = (x, y, z)
    return Template(_on_grid("t1", shape, target), _on_grid("brain", shape, target) > 0.5, target)


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
