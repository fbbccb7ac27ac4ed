"""Variational autoencoder whose code comes from a mixture of Gaussians. Source: Dilokthanakul et al. 2016."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Loss, Network, NetworkSettings, Train, check_kl
from brainuad.config.network_text import architecture, examples_text, loss_text, sees, training_text, unit_of
from brainuad.config.told import Told


class MixtureNetwork(Network):
    """A variational network whose code is drawn from one of several Gaussians (Dilokthanakul et al. 2016)."""

    bottleneck: Literal["dense"] = "dense"
    """The code is a vector."""
    variational: Literal[True] = True
    """Always."""
    components: int = Field(9, ge=1)
    """Number of Gaussians."""
    latent_w: int = Field(10, ge=1)
    """Length of the vector w, from which the means and variances of all Gaussians are computed."""
    hidden: int = Field(500, ge=1)
    """Width of the one layer between w and these means and variances."""


class Settings(NetworkSettings):
    """A variational autoencoder whose code comes from a mixture of Gaussians (Dilokthanakul et al. 2016).

    `loss.kl` is the weight of the divergences of the code, of w and of the component alike.
    """

    family: Literal["gmvae"]
    network: MixtureNetwork = MixtureNetwork()
    loss: Loss = Loss(reconstruction="gaussian", kl=1.0)
    train: Train = Train(epochs=100)

    @model_validator(mode="after")
    def _kl_and_no_context(self) -> Settings:
        check_kl(self.network, self.loss)
        if self.loss.context_encoding:
            raise ValueError("a Gaussian mixture takes no loss.context_encoding")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network = told.network
        mixture = f"The code is drawn from a mixture of {network.components} Gaussians, whose means and variances are "
        mixture += (
            f"computed from a vector of {network.latent_w} by a layer of {network.hidden} [@dilokthanakul2016]; the "
        )
        mixture += "weight of the KL divergence is that of the divergences of code, vector and component alike."
        return [
            f"a Gaussian mixture variational autoencoder [@dilokthanakul2016] {sees(network)}",
            *architecture(network),
            mixture,
            *loss_text(told.loss),
            *training_text(told.train, "It", unit_of(network)),
            *(examples_text(told.train) if network.dims == 2 else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.gmvae.method import GmVaeMethod

        return GmVaeMethod
