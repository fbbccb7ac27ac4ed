"""The networks of AnoGAN: a DCGAN. Source: docs/methods/baur2018.md."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from brainuad.config.network import Trunk
from brainuad.methods.shared.gan import Critic, Gan
from brainuad.methods.shared.networks import decoder

if TYPE_CHECKING:
    from brainuad.methods.anogan import Dcgan


class UnitImage(nn.Module):
    """Tanh, mapped to [0, 1]."""

    def forward(self, batch: Tensor) -> Tensor:
        return (batch.tanh() + 1) / 2


def dcgan(settings: Dcgan) -> Gan:
    """Generator to [0, 1] and critic; batch normalisation in all layers except those next to the image."""
    channels, kernel = settings.channels, settings.kernel
    side = settings.size // 2 ** len(channels)
    flat = channels[-1] * side**2
    start = [nn.Linear(settings.latent, flat), nn.Unflatten(1, (channels[-1], side, side))]
    up = Trunk(size=settings.size, channels=channels, kernel=kernel, slope=0, decoder_end="up")
    generator = nn.Sequential(*start, nn.BatchNorm2d(channels[-1]), nn.ReLU(), decoder(up), UnitImage())
    down: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise([1, *channels])):
        norm = [nn.BatchNorm2d(after)] if number else []
        down += [nn.Conv2d(before, after, kernel, 2, kernel // 2), *norm, nn.LeakyReLU(settings.slope)]
    critic = Critic(nn.Sequential(*down), nn.Sequential(nn.Flatten(), nn.Linear(flat, 1)))
    return Gan(generator, critic, settings.latent)
