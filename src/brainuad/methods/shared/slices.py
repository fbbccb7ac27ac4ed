"""Between a scan's grid and a 2D network's input: axial slices, padded to a square, then resized if need be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from brainuad.config.network import Fit
from brainuad.errors import InputError
from brainuad.formats.coding import Picked
from brainuad.methods.base import Brain, Image, TrainingScans
from brainuad.methods.shared.fitting import centred, note_unseen, require_seen

SLICES_AT_ONCE = 16
"""Slices reconstructed together; more of them leave the processor's cache."""
IN_MEMORY = 2 * 2**30
"""Prepared training slices up to this many bytes are kept; larger sets are prepared batch by batch."""


class SliceView:
    """A scan as its axial slices with brain."""

    def __init__(self, size: int, min_brain_share: float, fit: Fit = "resize"):
        self.size, self.min_brain_share, self.fit = size, min_brain_share, fit

    def examples(self, scans: TrainingScans) -> SliceExamples:
        """Slices with enough brain. Raises InputError if their brains do not fit into the network's input."""
        if self.fit == "pad":
            require_seen(scans, self.size, dims=2)
        return SliceExamples(scans, self.size, self.min_brain_share, self.fit)

    def inputs(self, image: Image, brain: Brain) -> Iterator[tuple[np.ndarray, Float[Tensor, "n 1 size size"]]]:
        """Levels (indices along z) and their slices, some at once."""
        levels = np.flatnonzero(brain.any(axis=(0, 1)))
        if self.fit == "pad":
            note_unseen(brain, self.size, dims=2)
        for chunk in np.array_split(levels, range(SLICES_AT_ONCE, len(levels), SLICES_AT_ONCE)):
            if len(chunk):
                yield chunk, to_network(axial(image, chunk), self.size, self.fit)

    def insert(self, output: Float[Tensor, "n 1 size size"], levels: np.ndarray, image: Image) -> None:
        """Write the network's output for the slices at these levels into a scan; what it does not see stays."""
        slices = np.moveaxis(from_network(output, image.shape[:2], self.fit).float().cpu().numpy(), 0, 2)
        (x, y), _ = centred(image.shape[:2], self.size) if self.fit == "pad" else ((slice(None),) * 2, ())
        image[x, y, levels] = slices[x, y]

    def insert_difference(self, difference: Float[Tensor, "n 1 size size"], levels: np.ndarray, image: Image) -> None:
        """Write a difference of inputs or outputs into a scan."""
        self.insert(difference, levels, image)


def to_network(slices: Float[Tensor, "n x y"], size: int, fit: Fit = "resize") -> Float[Tensor, "n 1 size size"]:
    """Slices centred in a square, 0 around them, and resized linearly (with a filter against aliasing), or cropped."""
    x, y = slices.shape[1:]
    if fit == "pad":
        part, place = centred((x, y), size)
        whole = slices.new_zeros(len(slices), 1, size, size)
        whole[:, 0, place[0], place[1]] = slices[:, part[0], part[1]]
        return whole
    side = max(x, y)
    left, below = (side - x) // 2, (side - y) // 2
    square = functional.pad(slices, (below, side - y - below, left, side - x - left))[:, None]
    if side == size:
        return square
    return functional.interpolate(square, size=(size, size), mode="bilinear", antialias=side > size)


def from_network(
    output: Float[Tensor, "n 1 size size"], shape: tuple[int, int], fit: Fit = "resize"
) -> Float[Tensor, "n x y"]:
    """The network's output on slices of this shape: the inverse of `to_network`; 0 where it cropped them."""
    x, y = shape
    if fit == "pad":
        part, place = centred(shape, output.shape[-1])
        slices = output.new_zeros(len(output), x, y)
        slices[:, part[0], part[1]] = output[:, 0, place[0], place[1]]
        return slices
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
    """Slices with a share of brain of `min_brain_share` or more, prepared for the network; kept in memory if small.

    Raises InputError if there is no such slice.
    """

    def __init__(self, scans: TrainingScans, size: int, min_brain_share: float, fit: Fit = "resize"):
        self.scans, self.size, self.fit = scans, size, fit
        levels = levels_with_brain(scans.brains, min_brain_share)
        self.positions = [(scan, int(level)) for scan, found in enumerate(levels) for level in found]
        self.kept: Tensor | None = None
        if len(self) * size * size * 4 <= IN_MEMORY:
            self.kept = torch.empty(len(self), 1, size, size)
            for start in range(0, len(self), 64):
                batch = range(start, min(start + 64, len(self)))
                self.kept[start : batch.stop] = self._prepared(batch)

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.positions)

    def fetch(self, indices: Sequence[int]) -> Float[Tensor, "n 1 size size"]:
        """These slices, prepared for the network."""
        return self._prepared(indices) if self.kept is None else self.kept[indices]

    def _prepared(self, indices: Sequence[int]) -> Tensor:
        chosen = [self.positions[index] for index in indices]
        slices = np.stack([axial_level(self.scans.images, scan, level) for scan, level in chosen])
        return to_network(torch.from_numpy(slices), self.size, self.fit)


def levels_with_brain(brains: Sequence[Brain], least: float) -> list[np.ndarray]:
    """For each scan the axial levels with this share of brain or more; raises InputError if there is none in any."""
    found = [np.flatnonzero(each.any(axis=(0, 1)) & (each.mean(axis=(0, 1)) >= least)) for each in brains]
    if not any(len(levels) for levels in found):
        why, do = f"no slice holds {100 * least:g} % brain", "lower train.min_brain_share, or look at the brain masks"
        raise InputError("there is nothing to train on", why=why, do=do)
    return found


def axial_level(images: Sequence[Image], scan: int, level: int) -> Float[np.ndarray, "x y"]:
    """One axial level; of an encoded array cache only that is decoded."""
    plane = images.axial_slice(scan, level) if isinstance(images, Picked) else images[scan][:, :, level]
    return np.ascontiguousarray(plane, dtype=np.float32)
