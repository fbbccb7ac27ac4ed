"""Between a scan's grid and a 3D network's input: whole scans, padded to a cube, then smoothed and resized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from brainuad.methods.base import Brain, Image, TrainingScans


class VolumeView:
    """A scan as one volume."""

    def __init__(self, size: int):
        self.size = size

    def examples(self, scans: TrainingScans) -> VolumeExamples:
        """All scans."""
        return VolumeExamples(scans, self.size)

    def inputs(self, image: Image, brain: Brain) -> Iterator[tuple[None, Float[Tensor, "1 1 size size size"]]]:
        """The scan as one cube; nothing where there is no brain."""
        if brain.any():
            yield None, to_cube(image, self.size)

    def insert(self, output: Float[Tensor, "1 1 size size size"], position: None, image: Image) -> None:  # noqa: ARG002
        """Write the network's output into a scan on its own grid."""
        image[:] = from_cube(output.float().cpu(), image.shape)


def to_cube(image: Image, size: int) -> Float[Tensor, "1 1 size size size"]:
    """The scan centred in a cube, 0 around it, resized linearly.

    Before it shrinks it is smoothed by a Gaussian with a sigma of half the ratio of voxel sizes (Simarro Viana et al.;
    docs/methods/simarro2020.md).
    """
    side = max(image.shape)
    cube = np.zeros((side, side, side), np.float32)
    cube[_centred(image.shape, side)] = image
    if side > size:
        cube = gaussian_filter(cube, 0.5 * side / size)
    tensor = torch.from_numpy(cube)[None, None]
    return tensor if side == size else functional.interpolate(tensor, size=(size, size, size), mode="trilinear")


def from_cube(output: Float[Tensor, "1 1 size size size"], shape: tuple[int, ...]) -> Float[np.ndarray, "x y z"]:
    """The network's output on a scan of this shape: the inverse of `to_cube` without smoothing."""
    side = max(shape)
    if output.shape[-1] != side:
        output = functional.interpolate(output, size=(side, side, side), mode="trilinear")
    volume: np.ndarray = output[0, 0].numpy()[_centred(shape, side)]
    return volume


def _centred(shape: tuple[int, ...], side: int) -> tuple[slice, ...]:
    starts = [(side - length) // 2 for length in shape]
    return tuple(slice(start, start + length) for start, length in zip(starts, shape, strict=True))


class VolumeExamples:
    """Scans, prepared for the network at first use and then kept: at 64³ a thousand take a gigabyte."""

    def __init__(self, scans: TrainingScans, size: int):
        self.scans, self.size = scans, size
        self.kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Number of scans."""
        return len(self.scans.images)

    def fetch(self, indices: Sequence[int]) -> Float[Tensor, "n 1 size size size"]:
        """These scans, prepared for the network."""
        for index in indices:
            if index not in self.kept:
                self.kept[index] = to_cube(np.asarray(self.scans.images[index], np.float32), self.size)
        return torch.cat([self.kept[index] for index in indices])
