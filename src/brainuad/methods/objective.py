"""Reconstruction and KL losses, and the Lightning module of what is trained by one optimiser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn

from brainuad.config.network import Loss, Optimisation
from brainuad.methods.corrupt import corrupt
from brainuad.methods.networks import Output

Terms = dict[str, Tensor]


def distance(target: Tensor, found: Tensor, loss: Loss) -> Float[Tensor, ""]:
    """How far a reconstruction is from its target.

    L1 or squared L2 distance: its mean, or, where a KL term is present, its sum over pixels averaged over the batch, so
    that a KL weight of 1 gives the evidence bound itself. `gaussian` is the negative log likelihood up to a constant,
    always summed. All times `scale`. Source: models.md 0.
    """
    apart = (target - found).abs() if loss.reconstruction == "l1" else (target - found).square()
    if loss.reconstruction == "gaussian":
        return loss.scale * apart.sum() / (2 * loss.variance * len(target))
    return loss.scale * (apart.sum() / len(target) if loss.kl else apart.mean())


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Float[Tensor, ""]:
    """KL of N(mean, variance) to N(0, I), summed over the code and averaged over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(mean)


def reconstruction_terms(network: Any, batch: Tensor, loss: Loss, output: Output | None = None) -> Terms:
    """Total `loss` and its parts: reconstruction, KL where the code is variational, context encoding in training.

    `output`: what the network made of the batch, if it was asked before.
    """
    output = network(batch) if output is None else output
    parts = {"reconstruction": distance(batch, output.reconstruction, loss)}
    total = parts["reconstruction"]
    if output.mean is not None and output.log_variance is not None:
        parts["kl"] = kl_divergence(output.mean, output.log_variance)
        total = total + loss.kl * parts["kl"]
    if loss.context and network.training:
        parts["context"] = distance(batch, network.rebuild(corrupt(batch, loss.corruption)), loss)
        total = total + loss.context * parts["context"]
    return {"loss": total, **{name: part.detach() for name, part in parts.items()}}


class Objective(LightningModule):  # type: ignore[misc]
    """Adam on the `loss` of `terms`.

    `trained` names the children of the network that learn, all if none is named; the others are frozen and stay in
    evaluation mode, so that their running statistics do not move either.
    """

    def __init__(self, network: nn.Module, settings: Optimisation, trained: Sequence[str] = ()):
        super().__init__()
        self.network, self.settings = network, settings
        children = dict(network.named_children())
        self.trained = [children[name] for name in trained] if trained else [network]
        self.frozen = [child for name, child in children.items() if trained and name not in trained]

    @abstractmethod
    def terms(self, batch: Tensor) -> Terms:
        """Scalars by name, among them `loss`; its parts are detached."""

    def training_step(self, batch: Tensor) -> Terms:
        """One step."""
        return self.terms(batch)

    def validation_step(self, batch: Tensor) -> Terms:
        """One batch of healthy validation examples."""
        return self.terms(batch)

    def configure_optimizers(self) -> Any:
        """Adam over the parts that learn."""
        return self.adam(self.trained, self.settings.lr)

    def adam(self, parts: Sequence[nn.Module], lr: float) -> torch.optim.Optimizer:
        """Adam over these parts, with the decay rates of the settings."""
        parameters = [parameter for part in parts for parameter in part.parameters()]
        return torch.optim.Adam(parameters, lr=lr, betas=(self.settings.beta1, self.settings.beta2))

    def train(self, mode: bool = True) -> Objective:
        """Training mode for what learns."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def on_fit_start(self) -> None:
        """Training mode, which Lightning does not set, and no time spent on gradients of what is frozen."""
        self.train()
        self._held = [p for part in self.frozen for p in part.parameters() if p.requires_grad]
        for parameter in self._held:
            parameter.requires_grad_(False)

    def on_fit_end(self) -> None:
        """Leave the network as it was."""
        for parameter in self._held:
            parameter.requires_grad_(True)


class Reconstruction(Objective):
    """Reconstruction, KL divergence and context encoding."""

    def __init__(self, network: nn.Module, loss: Loss, train: Optimisation):
        super().__init__(network, train)
        self.loss = loss

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts; outside training the mean of the code is decoded and nothing is corrupted."""
        return reconstruction_terms(self.network, batch, self.loss)
