"""The method of autoencoders with a critic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from brainuad.config.network import Trunk
from brainuad.methods.shared.networks import ConvAutoencoder, encoder
from brainuad.methods.shared.neural import Stage
from brainuad.methods.shared.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.adversarial_autoencoder import Settings


class Critic(nn.Sequential):
    """The encoder's convolutions, the first without normalisation, and one logit."""

    def __init__(self, settings: Trunk):
        side = settings.size // 2 ** len(settings.channels)
        flat = settings.channels[-1] * side**settings.dims
        super().__init__(encoder(settings, first_norm=False), nn.Flatten(), nn.Linear(flat, 1))


class AutoencoderWithCritic(nn.Module):
    """An autoencoder and the critic of its reconstructions."""

    def __init__(self, settings: Settings):
        super().__init__()
        self.autoencoder = ConvAutoencoder(settings.network)
        self.critic = Critic(settings.network)

    def forward(self, batch: Tensor) -> Any:
        """The autoencoder's output."""
        return self.autoencoder(batch)


class AdversarialAutoencoderMethod(ReconstructionMethod):
    """AE-GAN, or with `network.variational` VAE-GAN."""

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return AutoencoderWithCritic(self.settings)

    def objective(self) -> LightningModule:
        """Reconstruction, KL and adversarial loss, in turns with the critic."""
        from brainuad.methods.shared.adversarial import AdversarialReconstruction

        return AdversarialReconstruction(self.network, self.settings.loss, self.train, self.settings.adversarial)

    def stages(self) -> list[Stage]:
        """One; its batches hold examples for every step of the critic."""
        return [Stage("", self.settings.adversarial.with_critic_batches(self.train), self.objective)]
