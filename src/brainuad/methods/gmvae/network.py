"""The network of an autoencoder whose code comes from a mixture of Gaussians.

A vector w is drawn from N(0, I) and one of the components with equal probability. A small network turns w into the
means and variances of all components, and the code is drawn from the chosen one. Source: Dilokthanakul et al. 2016.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.shared.networks import CONV, ConvAutoencoder, sample

if TYPE_CHECKING:
    from brainuad.methods.gmvae import MixtureNetwork


class Gaussian(NamedTuple):
    """Mean and log variance, of one shape."""

    mean: Tensor
    log_variance: Tensor


class MixtureOutput(NamedTuple):
    """Output for a batch of n. Each pixel of a spatial code counts as a code, so that m = n x pixels; else m = n."""

    reconstruction: Float[Tensor, "n 1 *size"]
    code: Float[Tensor, "m d"]
    code_posterior: Gaussian
    w_posterior: Gaussian
    components: Gaussian
    """(m, components, d): given the w of each code."""


class MixtureAutoencoder(nn.Module):
    """An autoencoder, heads for w, and the network from w to the components.

    In evaluation code and w are their means, in training samples.
    """

    def __init__(self, settings: MixtureNetwork):
        super().__init__()
        self.autoencoder = ConvAutoencoder(settings)
        flat = settings.dense_channels * (settings.size // 2 ** len(settings.channels)) ** settings.dims
        self.w_heads = nn.ModuleList([nn.Linear(flat, settings.latent_w) for _ in range(2)])
        self.components = nn.Sequential(
            nn.Linear(settings.latent_w, settings.hidden),
            nn.Tanh(),
            nn.Linear(settings.hidden, 2 * settings.components * settings.latent),
            nn.Unflatten(1, (2, settings.components, settings.latent)),
        )

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> MixtureOutput:
        """Encode, compute the components, decode."""
        trunk = self.autoencoder.squeeze(self.autoencoder.encoder(batch))
        code_posterior = Gaussian(*(head(trunk) for head in self.autoencoder.heads))
        w_posterior = Gaussian(*(head(trunk) for head in self.w_heads))
        code, w = (sample(*each) if self.training else each.mean for each in (code_posterior, w_posterior))
        components = Gaussian(*self.components(w).unbind(1))
        return MixtureOutput(self.autoencoder.decode(code), code, code_posterior, w_posterior, components)


class SpatialMixtureAutoencoder(nn.Module):
    """The same with maps for code and w: each of their pixels has a component of its own (You et al. 2019)."""

    def __init__(self, settings: MixtureNetwork):
        super().__init__()
        self.settings = settings
        conv, last = CONV[settings.dims], settings.channels[-1]
        self.encoder = nn.Sequential(
            *[
                layer
                for before, after in pairwise([1, *settings.channels])
                for layer in _level(before, after, settings, stride=2)
            ]
        )
        self.code_heads = nn.ModuleList([conv(last, settings.latent, 1) for _ in range(2)])
        self.w_heads = nn.ModuleList([conv(last, settings.latent_w, 1) for _ in range(2)])
        self.components = nn.Sequential(
            conv(settings.latent_w, settings.hidden, 1),
            nn.ReLU(),
            conv(settings.hidden, 2 * settings.components * settings.latent, 1),
        )
        upwards = pairwise([settings.latent, *reversed(settings.channels)])
        doubling = [
            layer
            for before, after in upwards
            for layer in (*_level(before, after, settings, stride=1), nn.Upsample(scale_factor=2))
        ]
        first, side = settings.channels[0], settings.kernel // 2
        end = [nn.Sigmoid()] if settings.output == "sigmoid" else []
        self.decoder = nn.Sequential(
            *doubling,
            conv(first, first, settings.kernel, padding=side),
            conv(first, 1, settings.kernel, padding=side),
            *end,
        )

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> MixtureOutput:
        """Encode, compute the components, decode."""
        trunk = self.encoder(batch)
        code_posterior = Gaussian(*(head(trunk) for head in self.code_heads))
        w_posterior = Gaussian(*(head(trunk) for head in self.w_heads))
        code, w = (sample(*each) if self.training else each.mean for each in (code_posterior, w_posterior))
        shape = 2, self.settings.components, self.settings.latent
        components = Gaussian(*_by_pixel(self.components(w)).unflatten(1, shape).unbind(1))
        code_by_pixel, w_by_pixel = (Gaussian(*map(_by_pixel, each)) for each in (code_posterior, w_posterior))
        return MixtureOutput(self.decoder(code), _by_pixel(code), code_by_pixel, w_by_pixel, components)


def _by_pixel(maps: Float[Tensor, "n c *size"]) -> Float[Tensor, "m c"]:
    return maps.movedim(1, -1).flatten(0, -2)


def _level(before: int, after: int, settings: MixtureNetwork, stride: int) -> list[nn.Module]:
    """Convolutions of one level, the first of this stride, each with LeakyReLU."""
    layers: list[nn.Module] = []
    for number in range(settings.convolutions):
        inputs, own = (after, 1) if number else (before, stride)
        layers += [
            CONV[settings.dims](inputs, after, settings.kernel, own, settings.kernel // 2),
            nn.LeakyReLU(settings.slope),
        ]
    return layers
