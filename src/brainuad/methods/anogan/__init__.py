"""A GAN on slices, and a search among its images for the one nearest to each slice.

Source: Schlegl et al. 2017, Baur et al. 2018 (docs/methods/baur2018.md).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Adversarial, Channels, Grid, NetworkSettings, Train, check_last_weights
from brainuad.config.network_text import adversarial_text, examples_text, sees, training_text, unit_of
from brainuad.config.section import Section
from brainuad.config.told import Told, listed


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
    """Gradient descent (Adam) on the code of each slice towards an image near the slice."""

    steps: int = Field(100, ge=1)
    """Steps of each search."""
    lr: float = Field(1e-1, gt=0)
    """Learning rate, about the length of a step of each number: `steps` of them must reach from one draw of N(0, 1) to
    any other."""
    feature_share: float = Field(0.1, ge=0, le=1)
    """Share of the critic's features in the distance; pixels have the rest. Both are mean absolute differences."""
    starts: int = Field(1, ge=1)
    """Random codes to start from, for each slice its own; the nearest result is taken."""


class Settings(NetworkSettings):
    """A GAN on slices, and a search among its images for the one nearest to each slice (Schlegl 2017)."""

    family: Literal["anogan"]
    network: Dcgan = Dcgan()
    adversarial: Adversarial = Adversarial()
    train: Train = Train(epochs=82, lr=1e-4, beta1=0.5, keep="last")
    search: Search = Search()

    @model_validator(mode="after")
    def _last_weights(self) -> Settings:
        check_last_weights(self.train)
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network, search = told.network, told.search
        channels = listed([str(number) for number in network.channels])
        starts = "one start" if search.starts == 1 else f"{search.starts} starts"
        return [
            f"a GAN (DCGAN) {sees(network)}, and a search for the generated image nearest to each slice [@schlegl2017]",
            f"The critic has strided convolutions with kernel {network.kernel} and {channels} channels and "
            f"LeakyReLU of slope {network.slope:g}; the generator mirrors it, with ReLU, from a code of "
            f"{network.latent} drawn from N(0, I).",
            adversarial_text(told.adversarial, "the generator"),
            *training_text(told.train, "It", unit_of(network)),
            *examples_text(told.train),
            f"Each search has {search.steps} steps of Adam at the learning rate {search.lr:g} from {starts}; the "
            f"distance is the mean absolute difference of pixels with weight {1 - search.feature_share:g} and of the "
            f"critic's features with weight {search.feature_share:g}.",
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.anogan.method import AnoGanMethod

        return AnoGanMethod
