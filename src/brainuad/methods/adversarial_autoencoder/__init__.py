"""Autoencoders whose reconstructions a critic learns to tell from scans: AE-GAN, VAE-GAN.

Source: Baur et al. 2018 (docs/methods/baur2018.md).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from brainuad.config.network import Adversarial, Loss, Network, NetworkSettings, Train, check_kl


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
        return self

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.adversarial_autoencoder.method import AdversarialAutoencoderMethod

        return AdversarialAutoencoderMethod
