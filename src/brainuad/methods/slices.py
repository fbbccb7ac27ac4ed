"""Between the store's grid and a 2D network's input: axial slices, padded to a square, then resized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from brainuad.errors import InputError
from brainuad.formats.coding import Picked
from brainuad.methods.base import Brain, Image, TrainingScans

BATCH = 16
"""Slices reconstructed at once; larger ones leave the processor's cache."""
IN_MEMORY = 2 * 2**30
"""Prepared training slices up to this many bytes are kept, larger sets are prepared batch by batch."""


class Slices:
    """A scan as the axial slices that hold brain."""

    def __init__(self, size: int, min_brain: float):
        self.size, self.min_brain = size, min_brain

    def examples(self, healthy: TrainingScans) -> SliceExamples:
        """Slices with enough brain."""
        return SliceExamples(healthy, self.size, self.min_brain)

    def batches(self, image: Image, brain: Brain) -> Iterator[tuple[np.ndarray, Float[Tensor, "n 1 size size"]]]:
        """Levels, and their slices as the network takes them."""
        levels = np.flatnonzero(brain.any(axis=(0, 1)))
        for chunk in np.array_split(levels, range(BATCH, len(levels), BATCH)):
            if len(chunk):
                yield chunk, to_network(axial(image, chunk), self.size)

    def place(self, found: Float[Tensor, "n 1 size size"], levels: np.ndarray, image: Image) -> None:
        """Put what a network made of these slices into a scan."""
        slices = from_network(found, image.shape[:2]).float().cpu().numpy()
        image[:, :, levels] = np.moveaxis(slices, 0, 2)


def to_network(slices: Float[Tensor, "n x y"], size: int) -> Float[Tensor, "n 1 size size"]:
    """Slices centred in a square, 0 around them, and resized linearly (with a filter against aliasing)."""
    x, y = slices.shape[1:]
    side = max(x, y)
    left, below = (side - x) // 2, (side - y) // 2
    square = functional.pad(slices, (below, side - y - below, left, side - x - left))[:, None]
    if side == size:
        return square
    return functional.interpolate(square, size=(size, size), mode="bilinear", antialias=side > size)


def from_network(output: Float[Tensor, "n 1 size size"], shape: tuple[int, int]) -> Float[Tensor, "n x y"]:
    """The way back onto slices of this shape."""
    x, y = shape
    side = max(x, y)
    if output.shape[-1] != side:
        output = functional.interpolate(output, size=(side, side), mode="bilinear", antialias=output.shape[-1] > side)
    left, below = (side - x) // 2, (side - y) // 2
    return output[:, 0, left : left + x, below : below + y]


def axial(image: Image, levels: Sequence[int] | np.ndarray) -> Float[Tensor, "n x y"]:
    """These axial slices as a stack."""
    stack = np.ascontiguousarray(np.moveaxis(image[:, :, levels], 2, 0), dtype=np.float32)
    return torch.from_numpy(stack)


class SliceExamples:
    """Training slices with enough brain, prepared for the network; kept in memory if they are small."""

    def __init__(self, healthy: TrainingScans, size: int, min_brain: float):
        self.healthy, self.size = healthy, size
        self.where = [
            (i, int(level))
            for i, brain in enumerate(healthy.brains)
            for level in np.flatnonzero(brain.any(axis=(0, 1)) & (brain.mean(axis=(0, 1)) >= min_brain))
        ]
        if not self.where:
            why = f"no slice holds {100 * min_brain:g} % brain"
            raise InputError("there is nothing to train on", why=why, do="lower min_brain, or look at the brain masks")
        self.kept: Tensor | None = None
        if len(self) * size * size * 4 <= IN_MEMORY:
            self.kept = torch.empty(len(self), 1, size, size)
            for start in range(0, len(self), 64):
                batch = range(start, min(start + 64, len(self)))
                self.kept[start : batch.stop] = self._prepared(batch)

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.where)

    def fetch(self, indices: Sequence[int]) -> Float[Tensor, "n 1 size size"]:
        """These slices, as the network takes them."""
        return self._prepared(indices) if self.kept is None else self.kept[indices]

    def _prepared(self, indices: Sequence[int]) -> Tensor:
        chosen = [self.where[index] for index in indices]
        slices = np.stack([_level(self.healthy.images, scan, level) for scan, level in chosen])
        return to_network(torch.from_numpy(slices), self.size)


def _level(images: Sequence[Image], scan: int, level: int) -> Float[np.ndarray, "x y"]:
    """One axial level; of a coded store no more than that is decoded."""
    plane = images.level(scan, level) if isinstance(images, Picked) else images[scan][:, :, level]
    return np.ascontiguousarray(plane, dtype=np.float32)
