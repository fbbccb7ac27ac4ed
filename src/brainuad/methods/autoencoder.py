"""Dense and spatial autoencoders, plain or variational, on axial slices. Source: Baur et al. 2018."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from brainuad.config.model import Autoencoder
from brainuad.methods.networks import ConvAutoencoder
from brainuad.methods.reconstruction import SliceReconstruction

if TYPE_CHECKING:
    from lightning import LightningModule


class SliceAutoencoder(SliceReconstruction):
    """One encoder and decoder; `network.bottleneck` and `network.variational` make the members of the family."""

    def __init__(self, model: Autoencoder):
        self.model = model
        super().__init__(model.family, model.network.size, model.train, model.map)

    def make_network(self) -> nn.Module:
        """A network with fresh weights."""
        return ConvAutoencoder(self.model.network)

    def objective(self) -> LightningModule:
        """Reconstruction, and KL where the code is variational."""
        from brainuad.methods.objective import Reconstruction

        return Reconstruction(self.network, self.model.loss, self.train)


METHOD = SliceAutoencoder
