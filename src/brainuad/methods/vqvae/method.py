"""The method of VQ-VAEs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from brainuad.methods.shared.reconstruction import ReconstructionMethod
from brainuad.methods.vqvae.network import QuantisedAutoencoder

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.vqvae import Settings


class VqVaeMethod(ReconstructionMethod):
    """One quantised autoencoder."""

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return QuantisedAutoencoder(self.settings.network)

    def objective(self) -> LightningModule:
        """Reconstruction, commitment, context encoding where its weight is above 0."""
        from brainuad.methods.vqvae.objective import QuantisedObjective

        return QuantisedObjective(self.network, self.settings.loss, self.train)
