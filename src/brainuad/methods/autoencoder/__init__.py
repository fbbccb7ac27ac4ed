"""Dense and spatial autoencoders, plain or variational, with context encoding if wanted.

Source: Chatterjee et al., Paolini et al., Baur et al. 2018 (docs/methods/).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Loss, Network, NetworkSettings, Train, check_kl
from brainuad.config.network_text import architecture, examples_text, kind, loss_text, sees, training_text, unit_of
from brainuad.config.told import Told


class Settings(NetworkSettings):
    """Autoencoders and variational autoencoders, with context encoding if wanted, on slices or volumes."""

    family: Literal["autoencoder"]
    network: Network = Network()
    loss: Loss = Loss()
    train: Train = Train(epochs=150, beta1=0.5)

    @model_validator(mode="after")
    def _kl_needs_a_variance(self) -> Settings:
        check_kl(self.network, self.loss)
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network = told.network
        return [
            f"{kind(told, 'autoencoder')} {sees(network)}",
            *architecture(network),
            *loss_text(told.loss),
            *training_text(told.train, "It", unit_of(network)),
            *(examples_text(told.train) if network.dims == 2 else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.autoencoder.method import AutoencoderMethod

        return AutoencoderMethod
