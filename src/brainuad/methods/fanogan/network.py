"""The networks of f-AnoGAN: generator, critic and encoder, on volumes (Kwon 2019) or slices (Schlegl 2019).

Source: docs/methods/simarro2020.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.shared.gan import Critic, Gan
from brainuad.methods.shared.residual_blocks import Sum

if TYPE_CHECKING:
    from brainuad.methods.fanogan import EncodedGan

SLOPE = 0.2
"""Negative slope of LeakyReLU in Kwon's critic and encoder."""


class ReconstructionError(NamedTuple):
    """Mean squared differences between each image of a batch and its reconstruction."""

    image: Float[Tensor, " n"]
    features: Float[Tensor, " n"]
    """Of the critic's features."""


class EncoderGan(Gan):
    """A GAN with an encoder, which maps an image to the code of its reconstruction (f-AnoGAN)."""

    def __init__(self, settings: EncodedGan):
        generator, critic, trunk, last = (_kwon if settings.architecture == "kwon" else _schlegl)(settings)
        super().__init__(generator, critic, settings.latent)
        bound = [nn.Tanh()] if settings.latent_tanh else []
        self.encoder = nn.Sequential(trunk, last, *bound)

    def reconstruct(self, batch: Float[Tensor, "n 1 *size"]) -> Float[Tensor, "n 1 *size"]:
        """Encode and generate."""
        image: Tensor = self.generator(self.encoder(batch))
        return image

    def reconstruction_error(self, batch: Float[Tensor, "n 1 *size"]) -> ReconstructionError:
        """Of each image, in voxels and in the critic's features."""
        reconstruction = self.reconstruct(batch)
        features = self.critic.features(batch) - self.critic.features(reconstruction)
        differences = (batch - reconstruction, features)
        return ReconstructionError(*(each.square().flatten(1).mean(1) for each in differences))


Parts = tuple[nn.Module, Critic, nn.Module, nn.Module]
"""Generator, critic, and the encoder's trunk and last layer."""


def _kwon(settings: EncodedGan) -> Parts:
    """The networks of Kwon 2019 with instance instead of batch normalisation in critic and encoder.

    A gradient penalty is per image, and batch normalisation in the critic makes it depend on the other images.
    """
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
    """The residual networks of Gulrajani et al. 2017 as in Schlegl's code; layer norm in critic and encoder."""
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
        part.apply(_initialise)
    return parts


def _initialise(layer: nn.Module) -> None:
    """Glorot's uniform weights, wider in front of a ReLU, and biases of 0, as in the code of Gulrajani et al. 2017.

    With torch's defaults the first codes lie near 0, where a generator of codes from N(0, I) gives black images with a
    gradient of 0: the encoder then never learns.
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
