"""A box of axial slices about the centre of the grid, as small as the brains allow: no voxel is changed or lost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainuad.methods.base import Brain, Image


@dataclass(frozen=True)
class Box:
    """The part of slices that a network sees: `sides` pixels about the centre of a grid of `grid` pixels (x, y).

    Where a side is longer than the grid's, there are zeros around the slice.
    """

    sides: tuple[int, int]
    grid: tuple[int, int]

    @classmethod
    def around(cls, brains: Iterable[Brain], multiple: int) -> Box:
        """The smallest box that holds all brains, with sides that are multiples of `multiple`."""
        union = np.asarray(reduce(np.logical_or, (np.any(brain, axis=2) for brain in brains)))
        x, y = (
            _side(np.flatnonzero(np.any(union, axis=1 - axis)), length, multiple)
            for axis, length in enumerate(union.shape)
        )
        return cls((x, y), (union.shape[0], union.shape[1]))

    def holding(self, brain: Brain, multiple: int) -> Box:
        """This box, or a larger one where a brain reaches beyond it."""
        own = Box.around([brain], multiple).sides if brain.any() else self.sides
        return Box((max(self.sides[0], own[0]), max(self.sides[1], own[1])), self.grid)

    def cut(self, volume: Image | Brain, levels: np.ndarray) -> Float[np.ndarray, "n x y"]:
        """These axial slices of a volume, float32."""
        (part_x, place_x), (part_y, place_y) = self._places()
        cut = np.zeros((len(levels), *self.sides), np.float32)
        cut[:, place_x, place_y] = np.moveaxis(volume[part_x, part_y][:, :, levels], 2, 0)
        return cut

    def insert(self, slices: Float[Tensor, "n 1 x y"], levels: np.ndarray, volume: Image) -> None:
        """Write slices back into a volume; what lies outside the box stays."""
        (part_x, place_x), (part_y, place_y) = self._places()
        inside = slices[:, 0, place_x, place_y].float().cpu().numpy()
        volume[part_x, part_y, levels] = np.moveaxis(inside, 0, 2)

    @property
    def mirror_shift(self) -> int:
        """Pixels by which the mirror image of a box is off the middle of the box: 1, 0 or -1."""
        return (self.grid[0] - self.sides[0]) % 2 * (1 if self.sides[0] < self.grid[0] else -1)

    def _places(self) -> list[tuple[slice, slice]]:
        """For each axis the part of the grid that is seen, and its place in the box."""
        places = []
        for length, side in zip(self.grid, self.sides, strict=True):
            seen = min(length, side)
            start, left = (length - seen) // 2, (side - seen) // 2
            places.append((slice(start, start + seen), slice(left, left + seen)))
        return places


def mirrored(slices: Float[Tensor, "n c x y"], shift: int) -> Float[Tensor, "n c x y"]:
    """Slices with left and right exchanged about the midline of the grid; `shift`: `Box.mirror_shift`."""
    flipped = slices.flip(-2)
    if shift:
        flipped = flipped.roll(shift, dims=-2)
        flipped[..., 0 if shift > 0 else -1, :] = 0
    return flipped


def _side(seen: np.ndarray, length: int, multiple: int) -> int:
    """The shortest interval about the centre of an axis of this length that holds the indices that are seen."""
    for side in range(multiple, length, multiple):
        start = (length - side) // 2
        if not len(seen) or (start <= seen[0] and seen[-1] < start + side):
            return side
    return multiple * math.ceil(length / multiple)


def stacked(parts: list[np.ndarray]) -> Float[Tensor, "n c x y"]:
    """Slices as channels."""
    return torch.from_numpy(np.stack(parts, axis=1))
