"""A generator and its critic."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Critic(nn.Module):
    """One number per image, computed from features of it."""

    def __init__(self, features: nn.Module, last: nn.Module):
        super().__init__()
        self.features, self.last = features, last

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> Float[Tensor, "n 1"]:
        """High where an image looks real."""
        output: Tensor = self.last(self.features(batch))
        return output


class Gan(nn.Module):
    """A generator and its critic. `latent`: length of the generator's code."""

    def __init__(self, generator: nn.Module, critic: Critic, latent: int):
        super().__init__()
        self.generator, self.critic, self.latent = generator, critic, latent

    def sample(self, count: int) -> Float[Tensor, "n 1 *size"]:
        """Images of codes drawn from N(0, I)."""
        device = next(self.parameters()).device
        image: Tensor = self.generator(torch.randn(count, self.latent, device=device))
        return image
