"""Reconstruction and KL losses, and the base of the Lightning modules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn

from brainuad.config.network import Loss, Optimisation
from brainuad.methods.shared.masking import mask_squares
from brainuad.methods.shared.networks import AutoencoderOutput

Terms = dict[str, Tensor]
"""Scalars by name, among them `loss`, which is minimised; the others are its parts, detached."""


def distance(target: Tensor, reconstruction: Tensor, loss: Loss, summed: bool | None = None) -> Float[Tensor, ""]:
    """Distance between a reconstruction and its target, times `loss.scale`.

    L1 or squared L2: the mean over all pixels, or `summed` over pixels and averaged over the batch; by default summed
    beside a KL term. Up to a constant, the sum is the negative log likelihood of a Laplace distribution of scale 1
    (`l1`), of a Gaussian of variance 1/2 (`l2`), and for `gaussian`, which is always summed, of one of
    `loss.variance`: with a KL weight of 1 each gives the evidence lower bound under that likelihood. Public code that
    averages both terms makes the KL term about 10,000 times too weak or too strong.
    """
    summed = loss.kl > 0 if summed is None else summed
    difference = target - reconstruction
    pixels = difference.abs() if loss.reconstruction == "l1" else difference.square()
    if loss.reconstruction == "gaussian":
        return loss.scale * pixels.sum() / (2 * loss.variance * len(target))
    return loss.scale * (pixels.sum() / len(target) if summed else pixels.mean())


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Float[Tensor, ""]:
    """KL of N(mean, variance) to N(0, I), summed over the code and averaged over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(mean)


def reconstruction_terms(
    network: Any, batch: Tensor, loss: Loss, output: AutoencoderOutput | None = None, summed: bool | None = None
) -> Terms:
    """Total `loss` and its parts: reconstruction, KL where the code is variational, context encoding in training.

    The network sees the batch unless its `output` is given. The target of context encoding is the unmasked batch.
    `summed`: as in `distance`.
    """
    output = network(batch) if output is None else output
    parts = {"reconstruction": distance(batch, output.reconstruction, loss, summed)}
    total = parts["reconstruction"]
    if output.mean is not None and output.log_variance is not None:
        parts["kl"] = kl_divergence(output.mean, output.log_variance)
        total = total + loss.kl * parts["kl"]
    if loss.context_encoding and network.training:
        parts["context"] = distance(batch, network.reconstruct(mask_squares(batch, loss.masking)), loss, summed)
        total = total + loss.context_encoding * parts["context"]
    return {"loss": total, **{name: part.detach() for name, part in parts.items()}}


class Objective(LightningModule):  # type: ignore[misc]
    """Minimises the `loss` of `terms` by Adam.

    `trained` names the children of the network that are trained, all if none is named; the other children are frozen
    and stay in evaluation mode, so that their running statistics do not change either.
    """

    def __init__(self, network: nn.Module, settings: Optimisation, trained: Sequence[str] = ()):
        super().__init__()
        self.network, self.settings = network, settings
        children = dict(network.named_children())
        self.trained = [children[name] for name in trained] if trained else [network]
        self.frozen = [child for name, child in children.items() if trained and name not in trained]

    @abstractmethod
    def terms(self, batch: Tensor) -> Terms:
        """Loss of a batch and its parts."""

    def training_step(self, batch: Tensor) -> Terms:
        """Terms of a training batch."""
        return self.terms(batch)

    def validation_step(self, batch: Tensor) -> Terms:
        """Terms of a batch of healthy validation examples."""
        return self.terms(batch)

    def configure_optimizers(self) -> Any:
        """Adam over the trained parts."""
        return self.adam(self.trained, self.settings.lr)

    def adam(self, parts: Sequence[nn.Module], lr: float) -> torch.optim.Optimizer:
        """Adam over these parts, with the decay rates of the settings."""
        parameters = [parameter for part in parts for parameter in part.parameters()]
        return torch.optim.Adam(parameters, lr=lr, betas=(self.settings.beta1, self.settings.beta2))

    def train(self, mode: bool = True) -> Objective:
        """Training mode for the trained parts."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def on_fit_start(self) -> None:
        """Set training mode, which Lightning does not, and compute no gradients of frozen parts."""
        self.train()
        self._held = [p for part in self.frozen for p in part.parameters() if p.requires_grad]
        for parameter in self._held:
            parameter.requires_grad_(False)

    def on_fit_end(self) -> None:
        """Restore the frozen parts' need of gradients."""
        for parameter in self._held:
            parameter.requires_grad_(True)


class ReconstructionObjective(Objective):
    """Reconstruction, KL divergence and context encoding."""

    def __init__(self, network: nn.Module, loss: Loss, train: Optimisation):
        super().__init__(network, train)
        self.loss = loss

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts; in evaluation the mean of the code is decoded and nothing is masked."""
        return reconstruction_terms(self.network, batch, self.loss)
