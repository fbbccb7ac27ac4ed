"""A VQ-VAE whose unlikely codes a transformer replaces before they are decoded.

Source: Kuznetsov and Simpson, and their code (docs/methods/kuznetsov.md).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import NetworkSettings, Optimisation, Train
from brainuad.config.network_text import examples_text, loss_text, sees, training_text, unit_of
from brainuad.config.section import Section
from brainuad.config.told import Told
from brainuad.methods.vqvae import Quantised, QuantisedLoss, quantised_text


class Transformer(Section):
    """A decoder-only transformer that predicts each code from those before it in raster order."""

    width: int = Field(32, ge=1)
    """Length of the vectors between its layers."""
    depth: int = Field(4, ge=1)
    """Attention layers."""
    heads: int = Field(4, ge=1)
    """Attention heads per layer; they share the width evenly."""
    dropout: float = Field(0.4, ge=0, lt=1)
    """Share of the embeddings' values that are dropped in training."""

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be shared by {self.heads} heads; take a multiple")
        return self


class Resampling(Section):
    """Which codes of a scan are replaced by the most likely ones."""

    rule: Literal["healthy", "per_image"] = "healthy"
    """Source of the threshold of the log likelihood. `healthy`: the `quantile` over all codes of the healthy
    validation scans. `per_image`: over those of the same slice or volume, so that a healthy one loses as many as any
    other."""
    quantile: float = Field(0.04, ge=0, le=1)
    """Share of codes below the threshold."""


class Settings(NetworkSettings):
    """A VQ-VAE whose unlikely codes a transformer replaces."""

    family: Literal["vqvae_transformer"]
    network: Quantised = Quantised()
    loss: QuantisedLoss = QuantisedLoss(reconstruction="l2")
    train: Train = Train(epochs=50)
    transformer: Transformer = Transformer()
    transformer_train: Optimisation = Optimisation(epochs=50)
    """The transformer's training, after that of the VQ-VAE and on the same slices."""
    resampling: Resampling = Resampling()

    def describe(self) -> list[str]:
        told = Told(self)
        network, transformer, resampling = told.network, told.transformer, told.resampling
        cut = {"healthy": "over the codes of the training scans", "per_image": "over the codes of the same image"}
        replaced = (
            f"Codes with a log likelihood under the {resampling.quantile:g} quantile {cut[resampling.rule]} were "
        )
        replaced += "replaced by the most likely ones before they were decoded."
        return [
            f"a VQ-VAE [@oord2017] {sees(network)}, with a transformer that replaces unlikely codes",
            *quantised_text(network, told.loss),
            *loss_text(told.loss),
            f"The transformer predicts each code from those before it in raster order ({transformer.depth} layers of "
            f"width {transformer.width}, {transformer.heads} heads, dropout {transformer.dropout:g}).",
            replaced,
            *training_text(told.train, "The VQ-VAE", unit_of(network)),
            *training_text(told.transformer_train, "The transformer", unit_of(network)),
            *(examples_text(told.train) if network.dims == 2 else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.vqvae_transformer.method import VqVaeTransformerMethod

        return VqVaeTransformerMethod
