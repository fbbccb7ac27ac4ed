"""The network of an autoencoder whose code comes from a mixture of Gaussians.

A vector w is drawn from N(0, I) and one of the components with equal probability. A small network turns w into the
means and variances of all components, and the code is drawn from the chosen one. Source: Dilokthanakul et al. 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.shared.networks import ConvAutoencoder, sample

if TYPE_CHECKING:
    from brainuad.methods.gmvae import MixtureNetwork


class Gaussian(NamedTuple):
    """Mean and log variance, of one shape."""

    mean: Tensor
    log_variance: Tensor


class MixtureOutput(NamedTuple):
    """Output for a batch."""

    reconstruction: Float[Tensor, "n 1 *size"]
    code: Float[Tensor, "n d"]
    code_posterior: Gaussian
    w_posterior: Gaussian
    components: Gaussian
    """(n, components, d): given the w of each image."""


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
