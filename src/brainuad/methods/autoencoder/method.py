"""The method of plain and variational autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from brainuad.methods.shared.networks import ConvAutoencoder
from brainuad.methods.shared.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.autoencoder import Settings


class AutoencoderMethod(ReconstructionMethod):
    """One encoder and decoder; the `network` section says which."""

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return ConvAutoencoder(self.settings.network)

    def objective(self) -> LightningModule:
        """Reconstruction, KL where the code is variational, context encoding where its weight is above 0."""
        from brainuad.methods.shared.objective import ReconstructionObjective

        return ReconstructionObjective(self.network, self.settings.loss, self.train)
