"""Dense and spatial autoencoders, plain or variational, with context encoding if wanted.

Source: Chatterjee et al., Paolini et al., Baur et al. 2018; models.md 1.1, 1.2, 1.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from brainuad.config.model import Autoencoder
from brainuad.methods.networks import ConvAutoencoder
from brainuad.methods.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule


class AutoencoderMethod(ReconstructionMethod):
    """One encoder and decoder; the `network` section makes the members of the family."""

    def __init__(self, model: Autoencoder):
        self.model = model
        super().__init__(model.family, model.network, model.train, model.map)

    def make_network(self) -> nn.Module:
        """A network with fresh weights."""
        return ConvAutoencoder(self.model.network)

    def objective(self) -> LightningModule:
        """Reconstruction, KL where the code is variational, context encoding where it is weighted."""
        from brainuad.methods.objective import Reconstruction

        return Reconstruction(self.network, self.model.loss, self.train)


METHOD = AutoencoderMethod
