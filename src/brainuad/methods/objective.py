"""Reconstruction and KL losses, and the Lightning module of every method that is trained by them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn

from brainuad.config.model import Loss, Train
from brainuad.methods.networks import Output


def reconstruction_loss(target: Tensor, found: Tensor, loss: Loss) -> Float[Tensor, ""]:
    """L1 or squared L2 distance: its mean, or, where a KL term is present, its sum over pixels averaged over the batch.

    With the sum, a KL weight of 1 gives the evidence bound itself. Source: models.md 0.
    """
    distance = (target - found).abs() if loss.reconstruction == "l1" else (target - found).square()
    return distance.sum() / len(target) if loss.kl else distance.mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Float[Tensor, ""]:
    """KL of N(mean, variance) to N(0, I), summed over the code and averaged over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(mean)


class Reconstruction(LightningModule):  # type: ignore[misc]
    """Adam on reconstruction + `kl` x KL divergence."""

    def __init__(self, network: nn.Module, loss: Loss, train: Train):
        super().__init__()
        self.network, self.loss, self.settings = network, loss, train

    def terms(self, batch: Float[Tensor, "n 1 h w"]) -> dict[str, Tensor]:
        """The loss and its parts; the mean of the code is decoded outside training."""
        output: Output = self.network(batch)
        parts = {"reconstruction": reconstruction_loss(batch, output.reconstruction, self.loss)}
        total = parts["reconstruction"]
        if output.mean is not None and output.log_variance is not None:
            parts["kl"] = kl_divergence(output.mean, output.log_variance)
            total = total + self.loss.kl * parts["kl"]
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}

    def training_step(self, batch: Tensor) -> dict[str, Tensor]:
        """One step."""
        return self.terms(batch)

    def validation_step(self, batch: Tensor) -> dict[str, Tensor]:
        """One batch of healthy validation slices."""
        return self.terms(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.network.parameters(), lr=self.settings.lr, betas=(self.settings.beta1, 0.999))
