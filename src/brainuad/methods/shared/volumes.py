"""Between a scan's grid and a 3D network's input: whole scans, padded to a cube, then smoothed and resized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from brainuad.config.network import Fit
from brainuad.methods.base import Brain, Image, TrainingScans
from brainuad.methods.shared.fitting import centred, note_unseen, require_seen


class VolumeView:
    """A scan as one volume."""

    def __init__(self, size: int, fit: Fit = "resize"):
        self.size, self.fit = size, fit

    def examples(self, scans: TrainingScans) -> VolumeExamples:
        """All scans. Raises InputError if their brains do not fit into the network's input."""
        if self.fit == "pad":
            require_seen(scans, self.size, dims=3)
        return VolumeExamples(scans, self.size, self.fit)

    def inputs(self, image: Image, brain: Brain) -> Iterator[tuple[None, Float[Tensor, "1 1 size size size"]]]:
        """The scan as one cube; nothing where there is no brain."""
        if brain.any():
            if self.fit == "pad":
                note_unseen(brain, self.size, dims=3)
            yield None, to_cube(image, self.size, self.fit)

    def insert(self, output: Float[Tensor, "1 1 size size size"], position: None, image: Image) -> None:  # noqa: ARG002
        """Write the network's output into a scan on its own grid; what it does not see stays."""
        part = centred(image.shape, self.size)[0] if self.fit == "pad" else ...
        image[part] = from_cube(output.float().cpu(), image.shape, self.fit)[part]

    def insert_difference(self, difference: Float[Tensor, "1 1 size size size"], position: None, image: Image) -> None:
        """Write a difference of inputs or outputs into a scan."""
        self.insert(difference, position, image)


def to_cube(image: Image, size: int, fit: Fit = "resize") -> Float[Tensor, "1 1 size size size"]:
    """The scan centred in a cube, 0 around it, resized linearly, or cropped.

    Before it shrinks it is smoothed by a Gaussian with a sigma of half the ratio of voxel sizes (Simarro Viana et al.;
    docs/methods/simarro2020.md).
    """
    side = size if fit == "pad" else max(image.shape)
    part, place = centred(image.shape, side)
    cube = np.zeros((side, side, side), np.float32)
    cube[place] = image[part]
    if side > size:
        cube = gaussian_filter(cube, 0.5 * side / size)
    tensor = torch.from_numpy(cube)[None, None]
    return tensor if side == size else functional.interpolate(tensor, size=(size, size, size), mode="trilinear")


def from_cube(
    output: Float[Tensor, "1 1 size size size"], shape: tuple[int, ...], fit: Fit = "resize"
) -> Float[np.ndarray, "x y z"]:
    """The network's output on a scan of this shape: the inverse of `to_cube` without smoothing; 0 where it cropped."""
    side = output.shape[-1] if fit == "pad" else max(shape)
    if output.shape[-1] != side:
        output = functional.interpolate(output, size=(side, side, side), mode="trilinear")
    part, place = centred(shape, side)
    volume = np.zeros(shape, np.float32)
    volume[part] = output[0, 0].numpy()[place]
    return volume


class VolumeExamples:
    """Scans, prepared for the network at first use and then kept: at 64³ a thousand take a gigabyte."""

    def __init__(self, scans: TrainingScans, size: int, fit: Fit = "resize"):
        self.scans, self.size, self.fit = scans, size, fit
        self.kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Number of scans."""
        return len(self.scans.images)

    def fetch(self, indices: Sequence[int]) -> Float[Tensor, "n 1 size size size"]:
        """These scans, prepared for the network."""
        for index in indices:
            if index not in self.kept:
                self.kept[index] = to_cube(np.asarray(self.scans.images[index], np.float32), self.size, self.fit)
        return torch.cat([self.kept[index] for index in indices])
