"""Autoencoders whose code is a map of entries of a codebook: VQ-VAE, with context encoding if wanted.

Source: Paolini et al., Kuznetsov and Simpson (docs/methods/).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Loss, NetworkSettings, Train, Trunk
from brainuad.config.network_text import examples_text, loss_text, sees, training_text, trunk, unit_of
from brainuad.config.told import Told


class Quantised(Trunk):
    """An encoder, a codebook whose nearest entry replaces each vector of the encoder's map, and a decoder."""

    blocks: Literal["strided", "monai"] = "strided"
    """`strided`: our convolutions alone. `monai`: MONAI's VQVAE without residual layers, which has ReLU, and a 3x3
    convolution before and one after the codebook."""
    codes: int = Field(512, ge=2)
    """Number of entries of the codebook."""
    embedding: int = Field(128, ge=1)
    """Length of an entry; for `strided` the encoder's last number of channels."""
    codebook_decay: float = Field(0.99, ge=0, lt=1)
    """Entries are moving averages of the vectors assigned to them; this is the share that each step keeps."""

    codebook_init: Literal["normal", "kaiming_uniform"] = "kaiming_uniform"
    """Distribution of the first entries: N(0, 1) for each number, or uniform so that an entry's length is about 1. A
    fresh encoder gives vectors near 0: with N(0, 1) one entry can take them all, and with a high `codebook_decay` the
    other entries return only after a thousand steps."""

    @model_validator(mode="after")
    def _fits_its_blocks(self) -> Quantised:
        if self.blocks == "strided" and self.embedding != self.channels[-1]:
            raise ValueError(f"with blocks: strided embedding is the last of channels, {self.channels[-1]}")
        plain = (
            self.norm == "none" and self.slope == 0 and self.decoder_end == "up" and self.bias and not self.coord_conv
        )
        if self.blocks == "monai" and not plain:
            raise ValueError(
                "blocks: monai needs norm: none, slope: 0, decoder_end: up, bias: true and coord_conv: false"
            )
        return self


class QuantisedLoss(Loss):
    """Reconstruction, context encoding and commitment; moving averages replace a loss for the codebook."""

    commitment: float = Field(0.25, ge=0)
    """Weight of the mean squared distance between the encoder's vectors and their entries."""

    @model_validator(mode="after")
    def _no_kl(self) -> QuantisedLoss:
        if self.kl:
            raise ValueError("a codebook takes no loss.kl")
        return self


def quantised_text(network: Told, loss: Told) -> list[str]:
    """Encoder, codebook and decoder, in the methods section."""
    monai = " They are MONAI's, with ReLU and a 3x3 convolution before and one after the codebook."
    return [
        trunk(network) + (monai if network.blocks == "monai" else ""),
        f"Each vector of the encoder's map is replaced by the nearest of {network.codes} entries of length "
        f"{network.embedding}, which are moving averages (decay {network.codebook_decay:g}, started from the "
        f"distribution `{network.codebook_init}`).",
        f"Added to the loss is {loss.commitment:g} times the mean squared distance of vectors and entries.",
    ]


class Settings(NetworkSettings):
    """Autoencoders whose code is a map of entries of a codebook, with context encoding if wanted."""

    family: Literal["vqvae"]
    network: Quantised = Quantised()
    loss: QuantisedLoss = QuantisedLoss(reconstruction="l2")
    train: Train = Train(epochs=200)

    def describe(self) -> list[str]:
        told = Told(self)
        network = told.network
        named = "context-encoding VQ-VAE" if told.loss.context_encoding else "VQ-VAE"
        return [
            f"a {named} [@oord2017] {sees(network)}",
            *quantised_text(network, told.loss),
            *loss_text(told.loss),
            *training_text(told.train, "It", unit_of(network)),
            *(examples_text(told.train) if network.dims == 2 else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.vqvae.method import VqVaeMethod

        return VqVaeMethod
