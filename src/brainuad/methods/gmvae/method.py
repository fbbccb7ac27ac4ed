"""The method of the Gaussian mixture's autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from brainuad.methods.gmvae.network import MixtureAutoencoder
from brainuad.methods.shared.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.gmvae import Settings


class GmVaeMethod(ReconstructionMethod):
    """At test time the mean of the code is decoded."""

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return MixtureAutoencoder(self.settings.network)

    def objective(self) -> LightningModule:
        """The evidence lower bound, estimated with one sample of code and w."""
        from brainuad.methods.gmvae.objective import MixtureObjective

        return MixtureObjective(self.network, self.settings.loss, self.train)
