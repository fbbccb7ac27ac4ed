"""The grid of the models: a box of the template grid, padded or cropped, perhaps with larger voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage

from brainuad.config.recipe import Normalize, Resize
from brainuad.errors import ConfigError
from brainuad.images.resample import resample_mask


@dataclass(frozen=True)
class Window:
    """The place of the models' grid in the template grid. `start` may be negative: the box is then padded with 0."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    affine: Float[np.ndarray, "4 4"]
    """Voxel index in the box to the template's mm."""
    resize: Resize | None = None

    @property
    def grid(self) -> tuple[tuple[int, int, int], Float[np.ndarray, "4 4"]]:
        """Shape and affine of the models' grid."""
        if self.resize is None:
            return self.shape, self.affine
        return self.resize.shape, self.affine @ _coarser(self.shape, self.resize.shape)

    def image(self, data: Float[np.ndarray, "x y z"]) -> Float[np.ndarray, "a b c"]:
        """A volume of the template grid on the models' grid."""
        part = self.crop(data)
        return part if self.resize is None else resized(part, self.resize)

    def mask(self, data: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "a b c"]:
        """A mask of the template grid on the models' grid."""
        part = self.crop(data)
        return part if self.resize is None else resample_mask(part, self.affine, *self.grid)

    def crop(self, data: Shaped[np.ndarray, "x y z"]) -> Shaped[np.ndarray, "a b c"]:
        """The box of a volume on the template grid."""
        out = np.zeros(self.shape, dtype=data.dtype)
        source, target = [], []
        for start, length, size in zip(self.start, self.shape, data.shape, strict=True):
            first, last = max(start, 0), min(start + length, size)
            source.append(slice(first, last))
            target.append(slice(first - start, last - start))
        out[tuple(target)] = data[tuple(source)]
        return out

    def covers(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "x y z"]:
        """Mask of the box on a template grid of this shape."""
        inside = np.zeros(shape, bool)
        inside[tuple(slice(max(a, 0), a + n) for a, n in zip(self.start, self.shape, strict=True))] = True
        return inside


def window(shape: tuple[int, int, int], affine: Float[np.ndarray, "4 4"], settings: Normalize) -> Window:
    """The window in a template grid of this shape and affine; raises ConfigError if it is empty."""
    if isinstance(settings.slices, int):
        depth = min(settings.slices, shape[2])
        bottom = (shape[2] - depth) // 2
    else:
        bottom, depth = _between(settings.slices, 2, shape, affine, "slices leaves no axial level")
    plane = [(0, shape[0]), (0, shape[1])]
    if settings.box is not None:
        plane = [_between(ends, axis, shape, affine, "box is empty") for axis, ends in enumerate(settings.box)]
    wanted = settings.shape or (plane[0][1], plane[1][1])
    (left, back) = (first + (n - size) // 2 for (first, n), size in zip(plane, wanted, strict=True))
    moved = affine.copy()
    moved[:3, 3] = (affine @ [left, back, bottom, 1])[:3]
    return Window((left, back, bottom), (*wanted, depth), moved, settings.resize)


def _between(
    ends: tuple[float, float], axis: int, shape: tuple[int, int, int], affine: Float[np.ndarray, "4 4"], fault: str
) -> tuple[int, int]:
    """First index and number of the voxels of an axis between two ends (mm, inclusive)."""
    levels = affine[axis, 3] + affine[axis, axis] * np.arange(shape[axis])
    kept = np.flatnonzero((levels >= ends[0]) & (levels <= ends[1]))
    if not len(kept):
        why = f"the template reaches from {levels[0]:g} to {levels[-1]:g} mm"
        raise ConfigError(f"normalize.{fault}", why=why, do="correct the recipe")
    return int(kept[0]), len(kept)


def resized(data: Float[np.ndarray, "x y z"], settings: Resize) -> Float[np.ndarray, "a b c"]:
    """A volume on another grid of the same box: smoothed along axes with larger voxels, interpolated linearly; float32.

    Source: Simarro Viana et al. 2020, preprocessing step 5; the width of the Gaussian is ours
    (docs/methods/simarro2020.md). Not `skimage.transform.resize`: docs/decisions/0022-scikit-image.md.
    """
    step = _coarser(data.shape, settings.shape)
    ratio = np.diag(step)[:3]
    smooth = ndimage.gaussian_filter(np.asarray(data, dtype=np.float32), settings.smooth * ratio * (ratio > 1))
    result = ndimage.affine_transform(
        smooth, step[:3, :3], step[:3, 3], output_shape=settings.shape, order=1, mode="nearest"
    )
    return np.asarray(result)


def _coarser(old: tuple[int, ...], new: tuple[int, ...]) -> Float[np.ndarray, "4 4"]:
    """New voxel index to old voxel index; both grids cover the same box."""
    ratio = np.array(old) / np.array(new)
    matrix = np.diag([*ratio, 1.0])
    matrix[:3, 3] = (ratio - 1) / 2
    return matrix
