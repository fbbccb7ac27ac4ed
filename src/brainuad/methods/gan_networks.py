"""Generators, critics and encoders, as plain `torch.nn.Module`s. Source: models.md 1.4, 1.5."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.gan import Dcgan, EncodedGan
from brainuad.config.network import Trunk
from brainuad.methods.networks import decoder
from brainuad.methods.residual_blocks import Sum

SLOPE = 0.2
"""Negative slope of LeakyReLU in Kwon's critic and encoder."""


class Critic(nn.Module):
    """One number per image, from features of it."""

    def __init__(self, features: nn.Module, last: nn.Module):
        super().__init__()
        self.features, self.last = features, last

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> Float[Tensor, "n 1"]:
        """High where an image looks real."""
        verdict: Tensor = self.last(self.features(batch))
        return verdict


class Gan(nn.Module):
    """A generator and its critic."""

    def __init__(self, generator: nn.Module, critic: Critic, latent: int):
        super().__init__()
        self.generator, self.critic, self.latent = generator, critic, latent

    def draw(self, count: int) -> Float[Tensor, "n 1 *size"]:
        """Images of codes from N(0, I)."""
        device = next(self.parameters()).device
        image: Tensor = self.generator(torch.randn(count, self.latent, device=device))
        return image


class Apart(NamedTuple):
    """How far each image of a batch is from another: mean squared differences."""

    image: Float[Tensor, " n"]
    features: Float[Tensor, " n"]


class EncoderGan(Gan):
    """A GAN with an encoder: what goes in is rebuilt from its code (f-AnoGAN)."""

    def __init__(self, settings: EncodedGan):
        generator, critic, trunk, last = (_kwon if settings.architecture == "kwon" else _schlegl)(settings)
        super().__init__(generator, critic, settings.latent)
        bound = [nn.Tanh()] if settings.latent_tanh else []
        self.encoder = nn.Sequential(trunk, last, *bound)

    def rebuild(self, batch: Float[Tensor, "n 1 *size"]) -> Float[Tensor, "n 1 *size"]:
        """Encode and generate."""
        image: Tensor = self.generator(self.encoder(batch))
        return image

    def apart(self, batch: Float[Tensor, "n 1 *size"]) -> Apart:
        """Each image to what is rebuilt from it, as voxels and as the critic's features."""
        rebuilt = self.rebuild(batch)
        features = self.critic.features(batch) - self.critic.features(rebuilt)
        return Apart(*((left.square().flatten(1).mean(1)) for left in (batch - rebuilt, features)))


class UnitImage(nn.Module):
    """Tanh, mapped to [0, 1]."""

    def forward(self, batch: Tensor) -> Tensor:
        """Values in [0, 1]."""
        return (batch.tanh() + 1) / 2


def dcgan(settings: Dcgan) -> Gan:
    """Generator to [0, 1] and critic; batch normalisation everywhere but next to the image (models.md 1.4)."""
    channels, kernel = settings.channels, settings.kernel
    side = settings.size // 2 ** len(channels)
    flat = channels[-1] * side**2
    start = [nn.Linear(settings.latent, flat), nn.Unflatten(1, (channels[-1], side, side))]
    up = Trunk(size=settings.size, channels=channels, kernel=kernel, slope=0, top="up")
    generator = nn.Sequential(*start, nn.BatchNorm2d(channels[-1]), nn.ReLU(), decoder(up), UnitImage())
    down: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise([1, *channels])):
        norm = [nn.BatchNorm2d(after)] if number else []
        down += [nn.Conv2d(before, after, kernel, 2, kernel // 2), *norm, nn.LeakyReLU(settings.slope)]
    critic = Critic(nn.Sequential(*down), nn.Sequential(nn.Flatten(), nn.Linear(flat, 1)))
    return Gan(generator, critic, settings.latent)


Parts = tuple[nn.Module, Critic, nn.Module, nn.Module]
"""Generator, critic, and the encoder's trunk and last layer."""


def _kwon(settings: EncodedGan) -> Parts:
    """Of Kwon 2019, but for a norm in critic and encoder that a gradient penalty allows (trap T8)."""
    channels = settings.channels
    side = settings.size // 2 ** len(channels)

    def trunk() -> nn.Module:
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise([1, *channels])):
            norm = [nn.InstanceNorm3d(after, affine=True)] if number else []
            layers += [nn.Conv3d(before, after, 4, 2, 1), *norm, nn.LeakyReLU(SLOPE)]
        return nn.Sequential(*layers)

    def last(width: int) -> nn.Module:
        return nn.Sequential(nn.Conv3d(channels[-1], width, side), nn.Flatten())

    first = nn.ConvTranspose3d(settings.latent, channels[-1], side, bias=False)
    layers: list[nn.Module] = [nn.Unflatten(1, (settings.latent, 1, 1, 1)), first]
    for before, after in pairwise([*reversed(channels), 1]):
        layers += [nn.BatchNorm3d(before), nn.ReLU(), nn.Upsample(scale_factor=2)]
        layers.append(nn.Conv3d(before, after, 3, padding=1, bias=False))
    return nn.Sequential(*layers, nn.Tanh()), Critic(trunk(), last(1)), trunk(), last(settings.latent)


def _schlegl(settings: EncodedGan) -> Parts:
    """The residual networks of Gulrajani et al. 2017 as Schlegl's code has them; critic and encoder: layer norm."""
    widths = [max(settings.channels[0] // 2, 1), *settings.channels]
    side = settings.size // 2 ** len(settings.channels)
    shape = (widths[-1], side, side)
    flat = widths[-1] * side**2

    def trunk() -> nn.Module:
        first = nn.Conv2d(1, widths[0], 3, padding=1)
        return nn.Sequential(first, *[_halving(before, after) for before, after in pairwise(widths)])

    def last(width: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(flat, width))

    generator = nn.Sequential(
        nn.Linear(settings.latent, flat),
        nn.Unflatten(1, shape),
        *[_doubling(before, after) for before, after in pairwise(reversed(widths))],
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
        nn.Conv2d(widths[0], 1, 3, padding=1),
        nn.Tanh(),
    )
    parts = generator, Critic(trunk(), last(1)), trunk(), last(settings.latent)
    for part in parts:
        part.apply(_start)
    return parts


def _start(layer: nn.Module) -> None:
    """Uniform weights of Glorot, wider in front of a ReLU, and no bias, as in the code of Gulrajani et al. 2017.

    With torch's own the first codes lie near 0, where a generator of codes from N(0, I) makes black images whose
    gradient is nothing: the encoder then never learns.
    """
    if isinstance(layer, nn.Conv2d | nn.Linear):
        rectified = isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
        nn.init.xavier_uniform_(layer.weight, gain=2**0.5 if rectified else 1.0)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _doubling(before: int, after: int) -> Sum:
    branch = nn.Sequential(
        nn.BatchNorm2d(before),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1),
    )
    return Sum(branch, nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 1)))


def _halving(before: int, after: int) -> Sum:
    branch = nn.Sequential(
        nn.GroupNorm(1, before),
        nn.ReLU(),
        nn.Conv2d(before, before, 3, padding=1, bias=False),
        nn.GroupNorm(1, before),
        nn.ReLU(),
        nn.Conv2d(before, after, 3, padding=1),
        nn.AvgPool2d(2),
    )
    return Sum(branch, nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1)))
