"""The evidence lower bound of a Gaussian mixture's autoencoder. Source: Dilokthanakul et al. 2016, section 3."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.gmvae.network import Gaussian
from brainuad.methods.shared.objective import Terms, distance, kl_divergence

if TYPE_CHECKING:
    from brainuad.methods.gmvae import MixtureLoss


def negative_bound(network: nn.Module, batch: Float[Tensor, "n 1 *size"], loss: MixtureLoss) -> Terms:
    """The loss and its parts, averaged over the batch; those of a spatial code are summed over its pixels."""
    output = network(batch)
    log_posterior = component_log_posterior(output.code, output.components)
    codes = len(output.code) / len(batch)
    divergences = {
        "kl_code": conditional_kl(output.code_posterior, output.components, log_posterior) * codes,
        "kl_w": kl_divergence(*output.w_posterior) * codes,
        "kl_component": component_kl(log_posterior, loss.free_component) * codes,
    }
    reconstruction = distance(batch, output.reconstruction, loss)
    total = reconstruction + loss.kl * sum(divergences.values())
    parts = {"reconstruction": reconstruction, **divergences}
    return {"loss": total, **{name: part.detach() for name, part in parts.items()}}


def component_log_posterior(code: Float[Tensor, "n d"], components: Gaussian) -> Float[Tensor, "n components"]:
    """Logarithm of the posterior probability of each component, p(c | code, w), under equal prior probabilities."""
    squared = (code[:, None] - components.mean).square() / components.log_variance.exp()
    return torch.log_softmax(-0.5 * (squared + components.log_variance).sum(2), dim=1)


def conditional_kl(
    code_posterior: Gaussian, components: Gaussian, log_posterior: Float[Tensor, "n components"]
) -> Float[Tensor, ""]:
    """KL of the code's posterior to each component, weighted by its probability; averaged over the batch."""
    mean, log_variance = (parameter[:, None] for parameter in code_posterior)
    spread = (log_variance.exp() + (mean - components.mean).square()) / components.log_variance.exp()
    divergence = 0.5 * (spread - 1 + components.log_variance - log_variance).sum(2)
    return (log_posterior.exp() * divergence).sum() / len(log_posterior)


def component_kl(log_posterior: Float[Tensor, "n components"], free: float = 0.0) -> Float[Tensor, ""]:
    """KL of the components' posterior probabilities to equal ones, `free` at least; averaged over the batch."""
    divergence = log_posterior.exp() * (log_posterior + math.log(log_posterior.shape[1]))
    return (divergence.sum(1).clamp_min(free) if free else divergence).sum() / len(log_posterior)
