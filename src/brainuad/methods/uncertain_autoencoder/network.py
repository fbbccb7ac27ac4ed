"""The autoencoder with a variance for each pixel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.methods.shared.networks import decoder, encoder

if TYPE_CHECKING:
    from brainuad.methods.uncertain_autoencoder import UncertainLoss, UncertainNetwork


class Prediction(NamedTuple):
    """A Gaussian for each pixel."""

    mean: Float[Tensor, "n 1 *size"]
    log_variance: Float[Tensor, "n 1 *size"]


class VectorNorm(nn.BatchNorm1d):
    """Batch normalisation of vectors; a batch of one has no spread and is normalised by the running statistics."""

    def forward(self, batch: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        if len(batch) > 1 or not self.training:
            return super().forward(batch)
        return functional.batch_norm(batch, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class UncertainAutoencoder(nn.Module):
    """Encodes, and decodes to mean and log variance."""

    def __init__(self, settings: UncertainNetwork, loss: UncertainLoss):
        super().__init__()
        self.least = 2 * math.log(loss.smallest_sd)
        side, last = settings.size // 2 ** len(settings.channels), settings.channels[-1]
        flat, hidden, latent = last * side**settings.dims, settings.hidden, settings.latent
        self.encoder = nn.Sequential(
            encoder(settings),
            nn.Flatten(),
            nn.Linear(flat, hidden),
            *_after(settings),
            nn.Linear(hidden, latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden),
            *_after(settings),
            nn.Linear(hidden, flat),
            nn.Unflatten(1, (last, *[side] * settings.dims)),
            decoder(settings, outputs=2),
        )

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> Prediction:
        """The Gaussian of each pixel; its variance stays above the smallest one, and nears it smoothly."""
        mean, log_variance = self.decoder(self.encoder(batch)).split(1, dim=1)
        return Prediction(mean, self.least + functional.softplus(log_variance - self.least))


def _after(settings: UncertainNetwork) -> list[nn.Module]:
    norms = {"batch": VectorNorm, "layer": nn.LayerNorm, "none": None}
    norm = norms[settings.norm]
    return [*([] if norm is None else [norm(settings.hidden)]), nn.ReLU()]
