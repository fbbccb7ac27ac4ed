"""Autoencoders whose reconstructions a critic learns to tell from scans: AE-GAN, VAE-GAN.

Source: Baur et al. 2018; models.md 1.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from brainuad.config.model import AdversarialAutoencoder
from brainuad.config.network import Trunk
from brainuad.methods.networks import ConvAutoencoder, encoder
from brainuad.methods.neural import Stage
from brainuad.methods.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule


class Critic(nn.Sequential):
    """The encoder's convolutions and one logit."""

    def __init__(self, settings: Trunk):
        side = settings.size // 2 ** len(settings.channels)
        flat = settings.channels[-1] * side**settings.dims
        super().__init__(encoder(settings), nn.Flatten(), nn.Linear(flat, 1))


class Judged(nn.Module):
    """An autoencoder and its critic; what goes in is rebuilt."""

    def __init__(self, model: AdversarialAutoencoder):
        super().__init__()
        self.autoencoder = ConvAutoencoder(model.network)
        self.critic = Critic(model.network)

    def forward(self, batch: Tensor) -> Any:
        """The autoencoder's output."""
        return self.autoencoder(batch)

    def rebuild(self, batch: Tensor) -> Tensor:
        """Encode and decode the mean of the code."""
        return self.autoencoder.rebuild(batch)


class AdversarialAutoencoderMethod(ReconstructionMethod):
    """`network.variational` makes the VAE-GAN of the AE-GAN."""

    def __init__(self, model: AdversarialAutoencoder):
        self.model = model
        super().__init__(model.family, model.network, model.train, model.map)

    def make_network(self) -> nn.Module:
        """Autoencoder and critic with fresh weights."""
        return Judged(self.model)

    def objective(self) -> LightningModule:
        """Reconstruction, KL and the critic's opinion, in turns with the critic."""
        from brainuad.methods.versus import JudgedReconstruction

        return JudgedReconstruction(self.network, self.model.loss, self.train, self.model.adversarial)

    def stages(self) -> list[Stage]:
        """One; its batches hold examples for every step of the critic."""
        return [Stage("", self.model.adversarial.shared_out(self.train), self.objective)]


METHOD = AdversarialAutoencoderMethod
