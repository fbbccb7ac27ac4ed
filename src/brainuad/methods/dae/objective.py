"""The loss of the denoising autoencoder: the noise that was added must be told from the anatomy below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from brainuad.methods.dae.inputs import Channels
from brainuad.methods.dae.noise import coarse_noise
from brainuad.methods.shared.box import mirrored
from brainuad.methods.shared.objective import Objective, Terms

if TYPE_CHECKING:
    from brainuad.methods.dae import Settings


class DenoisingObjective(Objective):
    """Mean squared error of the noise that the network finds, in the brain."""

    def __init__(self, network: nn.Module, settings: Settings, channels: Channels, spacing: tuple[float, float]):
        super().__init__(network, settings.train)
        self.noise, self.flip, self.channels, self.spacing = settings.noise, settings.flip, channels, spacing

    def terms(self, batch: Float[Tensor, "n c x y"]) -> Terms:
        """In training with images that are mirrored by chance."""
        if self.flip:
            chosen = torch.rand(len(batch), 1, 1, 1, device=batch.device) < self.flip
            batch = torch.where(chosen, mirrored(batch, self.channels.mirror_shift), batch)
        return self._denoised(batch, None)

    def validation_step(self, batch: Float[Tensor, "n c x y"], batch_idx: int = 0) -> Terms:
        """With the same noise at each validation, so that the losses can be compared."""
        generator = Generator(batch.device).manual_seed(batch_idx)
        with self.kept_weights():
            return self._denoised(batch, generator)

    def _denoised(self, batch: Tensor, generator: Generator | None) -> Terms:
        brain = batch[:, 1:2]
        noise = brain * coarse_noise(batch, self.noise, self.spacing, generator)
        found = self.network(self.channels.seen(batch, noise))
        return {"loss": (brain * (found - noise)).square().sum() / brain.sum()}
