"""Variational autoencoder whose code comes from a mixture of Gaussians.

A vector w is drawn from N(0, I) and one of the components with equal chance; a small network turns w into the means
and variances of all components, and the code is drawn from that one. Source: Dilokthanakul et al. 2016.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.mixture import MixtureNetwork
from brainuad.config.model import GmVae
from brainuad.methods.networks import ConvAutoencoder, sample
from brainuad.methods.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule


class Gaussian(NamedTuple):
    """Mean and log variance, of one shape."""

    mean: Tensor
    log_variance: Tensor


class Found(NamedTuple):
    """What a network makes of a batch: a code of each image, and where it may have come from."""

    reconstruction: Float[Tensor, "n 1 *size"]
    code: Float[Tensor, "n d"]
    of_code: Gaussian
    of_w: Gaussian
    components: Gaussian
    """(n, components, d): given the w of each image."""


class MixtureAutoencoder(nn.Module):
    """An autoencoder, heads for w, and the network from w to the components.

    In evaluation code and w are their means, in training samples.
    """

    def __init__(self, settings: MixtureNetwork):
        super().__init__()
        self.autoencoder = ConvAutoencoder(settings)
        flat = settings.reduce * (settings.size // 2 ** len(settings.channels)) ** settings.dims
        self.w_heads = nn.ModuleList([nn.Linear(flat, settings.latent_w) for _ in range(2)])
        self.components = nn.Sequential(
            nn.Linear(settings.latent_w, settings.hidden),
            nn.Tanh(),
            nn.Linear(settings.hidden, 2 * settings.components * settings.latent),
            nn.Unflatten(1, (2, settings.components, settings.latent)),
        )

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> Found:
        """Encode, find the components, decode."""
        trunk = self.autoencoder.squeeze(self.autoencoder.encoder(batch))
        of_code = Gaussian(*(head(trunk) for head in self.autoencoder.heads))
        of_w = Gaussian(*(head(trunk) for head in self.w_heads))
        code, w = (sample(*found) if self.training else found.mean for found in (of_code, of_w))
        components = Gaussian(*self.components(w).unbind(1))
        return Found(self.autoencoder.decode(code), code, of_code, of_w, components)


def memberships(code: Float[Tensor, "n d"], components: Gaussian) -> Float[Tensor, "n components"]:
    """Logarithm of the posterior chance of each component, p(c | code, w), where all are equally likely before."""
    apart = (code[:, None] - components.mean).square() / components.log_variance.exp()
    return torch.log_softmax(-0.5 * (apart + components.log_variance).sum(2), dim=1)


def conditional_kl(
    of_code: Gaussian, components: Gaussian, chances: Float[Tensor, "n components"]
) -> Float[Tensor, ""]:
    """KL of the code's posterior to each component, weighted by its chance; averaged over the batch."""
    mean, log_variance = (found[:, None] for found in of_code)
    spread = (log_variance.exp() + (mean - components.mean).square()) / components.log_variance.exp()
    divergence = 0.5 * (spread - 1 + components.log_variance - log_variance).sum(2)
    return (chances.exp() * divergence).sum() / len(chances)


def component_kl(chances: Float[Tensor, "n components"]) -> Float[Tensor, ""]:
    """KL of the components' posterior chances to equal ones; averaged over the batch."""
    return (chances.exp() * (chances + math.log(chances.shape[1]))).sum() / len(chances)


class GmVaeMethod(ReconstructionMethod):
    """At test time the mean of the code is decoded."""

    def __init__(self, model: GmVae):
        self.model = model
        super().__init__(model.family, model.network, model.train, model.map)

    def make_network(self) -> nn.Module:
        """A network with fresh weights."""
        return MixtureAutoencoder(self.model.network)

    def objective(self) -> LightningModule:
        """The evidence bound, by one sample of code and w."""
        from brainuad.methods.mixture_bound import MixtureBound

        return MixtureBound(self.network, self.model.loss, self.train)


METHOD = GmVaeMethod
