"""The loss of the denoising U-Net: the noise that was added must be told from the anatomy below it."""

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
        self.drop = settings.drop_sequence if channels.sequences > 1 else 0.0

    def terms(self, batch: Float[Tensor, "n c x y"]) -> Terms:
        """In training with images that are mirrored, and that lack one of several sequences, by chance."""
        if self.flip:
            chosen = torch.rand(len(batch), 1, 1, 1, device=batch.device) < self.flip
            batch = torch.where(chosen, mirrored(batch, self.channels.mirror_shift), batch)
        there = torch.ones(len(batch), self.channels.sequences, device=batch.device)
        if self.drop:
            dropped = torch.randint(self.channels.sequences, (len(batch), 1), device=batch.device)
            there.scatter_(1, dropped, (torch.rand(len(batch), 1, device=batch.device) >= self.drop).float())
            batch = self.channels.without(batch, there)
        return self._denoised(batch, None, there)

    def validation_step(self, batch: Float[Tensor, "n c x y"], batch_idx: int = 0) -> Terms:
        """With the same noise at each validation, so that the losses can be compared."""
        generator = Generator(batch.device).manual_seed(batch_idx)
        with self.kept_weights():
            there = torch.ones(len(batch), self.channels.sequences, device=batch.device)
            return self._denoised(batch, generator, there)

    def _denoised(self, batch: Tensor, generator: Generator | None, there: Float[Tensor, "n sequences"]) -> Terms:
        """`there`: 1, or 0 for sequences that are missing; their outputs do not count."""
        seen = batch[:, :1] * there[..., None, None]
        drawn = [coarse_noise(batch, self.noise, self.spacing, generator) for _ in range(self.channels.sequences)]
        noise = seen * torch.cat(drawn, dim=1)
        found = self.network(self.channels.seen(batch, noise))
        return {"loss": (seen * (found - noise)).square().sum() / seen.sum()}
