"""The MNI152 (ICBM 2009a nonlinear) template that nilearn carries, on grids of any voxel size.

The T1 is skull-stripped. Files are read where nilearn is installed, without importing it (1.3 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Bool, Float

from brainuad.errors import InputError
from brainuad.images.resample import resample


@dataclass(frozen=True)
class Template:
    """`t1`: stripped T1 in [0, 1]; `grey`, `white`: tissue probabilities in [0, 1]; `brain`: mask. All (x, y, z)."""

    t1: Float[np.ndarray, "x y z"]
    grey: Float[np.ndarray, "x y z"]
    white: Float[np.ndarray, "x y z"]
    brain: Bool[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]


@cache
def mni152(spacing: float = 2.0) -> Template:
    """The template at `spacing` mm; 2 mm gives 99 x 117 x 95 voxels. Raises InputError if nilearn is not installed."""
    affine = _load("t1")[1].copy()
    shape = tuple(int(np.ceil((n - 1) / spacing)) + 1 for n in _load("t1")[0].shape)
    target = affine @ np.diag([spacing, spacing, spacing, 1.0])

    def on_grid(name: str) -> Float[np.ndarray, "x y z"]:
        data, affine = _load(name)
        return np.clip(resample(data, affine, (shape[0], shape[1], shape[2]), target), 0, 1)

    t1, grey, white = (on_grid(name) for name in ("t1", "gm", "wm"))
    return Template(t1, grey, white, on_grid("brain") > 0.5, target)


@cache
def _load(name: str) -> tuple[Float[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """A 1 mm map scaled to [0, 1] and its affine. `brain` is where any tissue or T1 signal is, holes filled."""
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise InputError("the MNI152 template is missing", why="nilearn carries it", do="pip install nilearn")
    stem = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
    kind = {"t1": "t1", "gm": "gm", "wm": "wm"}[name] if name != "brain" else "t1"
    image = nib.load(Path(spec.origin).parent / "datasets" / "data" / stem.format(kind))
    data = np.asarray(image.dataobj, dtype=np.float32)
    return (data > 0).astype(np.float32) if name == "brain" else data / data.max(), image.affine
