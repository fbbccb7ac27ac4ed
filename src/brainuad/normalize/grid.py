"""The part of the template grid that models see: a range of axial levels, rows and columns padded or cropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from brainuad.config.recipe import Normalize
from brainuad.errors import ConfigError


@dataclass(frozen=True)
class Window:
    """Where the models' grid lies in the template's. `start` may be negative: then it is padded with 0."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    affine: Float[np.ndarray, "4 4"]
    """Voxel index of the models' grid to MNI mm."""

    def cut(self, data: Shaped[np.ndarray, "x y z"]) -> Shaped[np.ndarray, "a b c"]:
        """The window's part of a volume on the template grid."""
        out = np.zeros(self.shape, dtype=data.dtype)
        source, target = [], []
        for start, length, size in zip(self.start, self.shape, data.shape, strict=True):
            first, last = max(start, 0), min(start + length, size)
            source.append(slice(first, last))
            target.append(slice(first - start, last - start))
        out[tuple(target)] = data[tuple(source)]
        return out

    def covers(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "x y z"]:
        """Where on a template grid of this shape the window lies."""
        inside = np.zeros(shape, bool)
        inside[tuple(slice(max(a, 0), a + n) for a, n in zip(self.start, self.shape, strict=True))] = True
        return inside


def window(shape: tuple[int, int, int], affine: Float[np.ndarray, "4 4"], settings: Normalize) -> Window:
    """The window in a template grid of this shape and affine; raises ConfigError if no axial level is left."""
    levels = affine[2, 3] + affine[2, 2] * np.arange(shape[2])
    kept = np.flatnonzero((levels >= settings.slices[0]) & (levels <= settings.slices[1]))
    if not len(kept):
        why = f"the template reaches from {levels[0]:g} to {levels[-1]:g} mm"
        raise ConfigError("normalize.slices leaves no axial level", why=why, do="correct the recipe")
    rows, columns = settings.shape or shape[:2]
    start = ((shape[0] - rows) // 2, (shape[1] - columns) // 2, int(kept[0]))
    moved = affine.copy()
    moved[:3, 3] = (affine @ [*start, 1])[:3]
    return Window(start, (rows, columns, len(kept)), moved)
