"""Autoencoders whose reconstructions a critic learns to tell from scans: AE-GAN, VAE-GAN.

Source: Baur et al. 2018 (docs/methods/baur2018.md).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Adversarial, Loss, Network, NetworkSettings, Train, check_kl, check_turns
from brainuad.config.network_text import (
    adversarial_text,
    architecture,
    examples_text,
    kind,
    loss_text,
    sees,
    training_text,
    unit_of,
)
from brainuad.config.told import Told


class Settings(NetworkSettings):
    """An autoencoder whose reconstructions a critic learns to tell from scans (Baur 2018: AE-GAN, VAE-GAN)."""

    family: Literal["adversarial_autoencoder"]
    network: Network = Network(bottleneck="spatial", latent=64)
    loss: Loss = Loss()
    adversarial: Adversarial = Adversarial()
    train: Train = Train(epochs=150, beta1=0.5)

    @model_validator(mode="after")
    def _kl_needs_a_variance(self) -> Settings:
        check_kl(self.network, self.loss)
        check_turns(self.train)
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network = told.network
        return [
            f"{kind(told, 'autoencoder')} {sees(network)}, with a critic",
            *architecture(network),
            "The critic learns to tell reconstructions from scans; it has the encoder's convolutions, the first "
            "without "
            "normalisation, and one output.",
            *loss_text(told.loss, critic=True),
            adversarial_text(told.adversarial, "the autoencoder"),
            *training_text(told.train, "It", unit_of(network), "the reconstruction error"),
            *(examples_text(told.train) if network.dims == 2 else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.adversarial_autoencoder.method import AdversarialAutoencoderMethod

        return AdversarialAutoencoderMethod
