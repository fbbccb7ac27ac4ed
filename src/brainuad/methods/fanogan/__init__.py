"""A Wasserstein GAN and an encoder that maps a scan to its code in one step: f-AnoGAN, on slices or volumes.

Source: Schlegl et al. 2019, Simarro Viana et al. 2020 (docs/methods/simarro2020.md).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import (
    Adversarial,
    Channels,
    Grid,
    NetworkSettings,
    Optimisation,
    Train,
    check_last_weights,
)
from brainuad.config.network_text import adversarial_text, examples_text, sees, training_text, unit_of
from brainuad.config.told import Told, listed


class EncodedGan(Grid):
    """A generator, its critic, and an encoder that maps a scan to its code."""

    architecture: Literal["kwon", "schlegl"] = "kwon"
    """`kwon`: convolutions over volumes (Kwon 2019); the generator starts with a map of the last of `channels`, and
    the side of that map is the kernel between map and code. `schlegl`: residual blocks over slices (Gulrajani 2017),
    of which the first has half of `channels`' first number as input."""
    dims: Literal[2, 3] = 3
    """3 for `kwon`, 2 for `schlegl`."""
    size: int = Field(64, ge=8)
    """Side of the networks' images, in pixels or voxels; slices and volumes are resized to it."""
    channels: Channels = [64, 128, 256, 512]
    """Output channels each time that critic and encoder halve the image; the generator mirrors them."""
    latent: int = Field(2500, ge=1)
    """Length of the code."""
    latent_tanh: bool = True
    """Whether a tanh bounds the encoder's output. Codes in training come from N(0, I), and about a third of their
    numbers lie outside of [-1, 1] (docs/methods/simarro2020.md)."""

    @model_validator(mode="after")
    def _dims_of_the_architecture(self) -> EncodedGan:
        dims = {"kwon": 3, "schlegl": 2}[self.architecture]
        if self.dims != dims:
            raise ValueError(f"architecture: {self.architecture} goes with dims: {dims}")
        return self


class Settings(NetworkSettings):
    """A Wasserstein GAN on slices or volumes, and an encoder that maps a scan to its code (Schlegl 2019).

    Scans must be in [0, 1].
    """

    family: Literal["fanogan"]
    network: EncodedGan = EncodedGan()
    adversarial: Adversarial = Adversarial(loss="wasserstein", lr=2e-4, critic_steps=5)
    feature_weight: float = Field(1.0, ge=0)
    """Weight of the critic's features (kappa), in the encoder's loss and in the scan's score."""
    train: Train = Train(steps=200_000, batch_size=4, lr=2e-4, beta1=0, beta2=0.9, validate_every=1000, keep="last")
    """The training of generator and critic."""
    encoder_train: Optimisation = Optimisation(steps=50_000, batch_size=4, lr=2e-4, validate_every=1000)
    """The training of the encoder after that, generator and critic frozen."""
    fine_tune_train: Optimisation | None = None
    """The training of encoder and generator after that, the critic frozen; null leaves it out."""

    @model_validator(mode="after")
    def _last_weights(self) -> Settings:
        check_last_weights(self.train)
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network = told.network
        built = {"kwon": "of convolutions [@kwon2019]", "schlegl": "of residual blocks [@gulrajani2017]"}
        channels = listed([str(number) for number in network.channels])
        bounded = ", bounded by a tanh" if network.latent_tanh else ""
        unit = unit_of(network)
        sentences = [
            f"a Wasserstein GAN {sees(network)}, with an encoder to its code (f-AnoGAN) [@schlegl2019]",
            f"Generator, critic and encoder are {built[network.architecture]} with {channels} channels; the code has "
            f"{network.latent} numbers{bounded}.",
            adversarial_text(told.adversarial, "the generator"),
            *training_text(told.train, "The GAN", unit),
            *training_text(told.encoder_train, "Then, generator and critic frozen, the encoder", unit),
        ]
        if self.fine_tune_train is not None:
            sentences += training_text(
                told.fine_tune_train, "Then, the critic frozen, encoder and generator together", unit
            )
        return [
            *sentences,
            "The encoder's loss is the mean squared difference of image and reconstruction, plus "
            f"{told.feature_weight:g} times that of the critic's features; a scan's anomaly score is that sum.",
            *(examples_text(told.train) if network.dims == 2 else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.fanogan.method import FAnoGanMethod

        return FAnoGanMethod
