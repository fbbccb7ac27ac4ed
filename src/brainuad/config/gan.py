"""The sections of generative adversarial networks, and of the search for a scan among what they generate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from brainuad.config.network import Channels, Grid
from brainuad.config.section import Section


class Dcgan(Grid):
    """A generator of transposed convolutions and a critic that mirrors it (DCGAN)."""

    dims: Literal[2] = 2
    """Slices."""
    channels: Channels = [32, 64, 128, 256, 512, 512]
    """Output channels of the critic's strided convolutions; the generator's, from the last to the first."""
    kernel: int = Field(5, ge=3)
    """Kernel of both networks' convolutions; odd."""
    latent: int = Field(128, ge=1)
    """Length of the generator's code, drawn from N(0, I)."""
    slope: float = Field(0.2, ge=0)
    """Negative slope of the critic's LeakyReLU; the generator has ReLU."""

    @model_validator(mode="after")
    def _odd_kernel(self) -> Dcgan:
        if self.kernel % 2 == 0:
            raise ValueError("a stride of 2 halves exactly with an odd kernel alone")
        return self


class Search(Section):
    """Adam on the code of each slice, until what is generated from it is near the slice."""

    steps: int = Field(100, ge=1)
    """Steps of each search."""
    lr: float = Field(1e-2, gt=0)
    """Learning rate."""
    features: float = Field(0.1, ge=0, le=1)
    """Share of the critic's features in the distance; pixels have the rest. Both are mean absolute differences."""
    starts: int = Field(1, ge=1)
    """Codes to start from, the same for every slice; the nearest result of each slice is taken."""


class EncodedGan(Grid):
    """A generator, its critic, and the encoder that finds a scan's code at once."""

    architecture: Literal["kwon", "schlegl"] = "kwon"
    """`kwon`: convolutions over volumes (Kwon 2019); the last channels' map is the generator's first, and its side the
    kernel between map and code. `schlegl`: residual blocks over slices (Gulrajani 2017), of which the first sees half
    of `channels`' first number."""
    dims: Literal[2, 3] = 3
    """3 for `kwon`, 2 for `schlegl`."""
    size: int = Field(64, ge=8)
    """Side of the networks' images, in pixels or voxels; slices and volumes are resized to it."""
    channels: Channels = [64, 128, 256, 512]
    """Output channels each time that critic and encoder halve the image; the generator mirrors them."""
    latent: int = Field(2500, ge=1)
    """Length of the code."""
    latent_tanh: bool = True
    """Whether a tanh bounds what is encoded. Codes in training come from N(0, I), and about a third of their numbers
    lie beyond it (trap T17)."""

    @model_validator(mode="after")
    def _dims_of_the_architecture(self) -> EncodedGan:
        dims = {"kwon": 3, "schlegl": 2}[self.architecture]
        if self.dims != dims:
            raise ValueError(f"architecture: {self.architecture} goes with dims: {dims}")
        return self
