"""Reconstruction and KL losses, and the base of the Lightning modules."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

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
    """Minimises the `loss` of `terms`, optimised as the settings say.

    What changes from step to step (the learning rate, the running mean of the weights) follows a count in the
    optimiser's own state, which is part of the checkpoint. `trained` names the children of the network that are
    trained, all if none is named; the other children are frozen and stay in evaluation mode, so that their running
    statistics do not change either.
    """

    total_steps = 0
    """Of the whole training, for `schedule: cosine`; the train stage sets it."""

    def __init__(self, network: nn.Module, settings: Optimisation, trained: Sequence[str] = ()):
        super().__init__()
        self.network, self.settings = network, settings
        children = dict(network.named_children())
        self.trained = [children[name] for name in trained] if trained else [network]
        self.frozen = [child for name, child in children.items() if trained and name not in trained]
        if settings.ema:
            self.averaged = copy.deepcopy(network).requires_grad_(False)

    @property
    def kept(self) -> nn.Module:
        """The network with the weights that are validated and kept: those of the last step, or their running mean."""
        return self.averaged if self.settings.ema else self.network

    @abstractmethod
    def terms(self, batch: Tensor) -> Terms:
        """Loss of a batch and its parts."""

    def training_step(self, batch: Tensor) -> Terms:
        """Terms of a training batch."""
        return self.terms(batch)

    def validation_step(self, batch: Tensor) -> Terms:
        """Terms of a batch of healthy validation examples."""
        with self.kept_weights():
            return self.terms(batch)

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """The network has the weights of `kept`. Modules that other objects hold change with it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        if self.settings.ema:
            for own, mean in zip(_tensors(self.network), _tensors(self.averaged), strict=True):
                own.data, mean.data = mean.data, own.data

    def configure_optimizers(self) -> Any:
        """Adam over the trained parts."""
        return self.adam(self.trained, self.settings.lr)

    def adam(self, parts: Sequence[nn.Module], lr: float) -> torch.optim.Optimizer:
        """The optimiser of these parts, with learning rate, weight decay and running mean of the settings."""
        settings = self.settings
        parameters = [parameter for part in parts for parameter in part.parameters()]
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        betas = settings.beta1, settings.beta2
        optimizer = kind(parameters, lr=lr, betas=betas, weight_decay=settings.weight_decay)
        if settings.warmup_steps or settings.schedule != "constant" or settings.ema:
            for group in optimizer.param_groups:
                group["taken"] = 0
            optimizer.register_step_pre_hook(partial(self._set_rate, lr))
            optimizer.register_step_post_hook(self._count)
        return optimizer

    def _set_rate(self, lr: float, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr * rate_share(group["taken"], self.total_steps, self.settings)

    def _count(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            group["taken"] += 1
        if self.settings.ema:
            taken = optimizer.param_groups[0]["taken"]
            decay = min(self.settings.ema, (1 + taken) / (10 + taken))
            means, values = (list(network.parameters()) for network in (self.averaged, self.network))
            get_ema_multi_avg_fn(decay)(means, values, taken)
            for mean, value in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                mean.copy_(value)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Shorten a gradient that is too long; of mixed precision it is unscaled by now."""
        if self.settings.clip:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip)

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


def rate_share(taken: int, total: int, settings: Optimisation) -> float:
    """The learning rate as a share of `lr`, after `taken` of `total` steps."""
    if taken < settings.warmup_steps:
        return (taken + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = min(1.0, (taken - settings.warmup_steps) / max(1, total - settings.warmup_steps))
    return settings.lr_end + (1 - settings.lr_end) * 0.5 * (1 + math.cos(math.pi * done))


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


class ReconstructionObjective(Objective):
    """Reconstruction, KL divergence and context encoding."""

    def __init__(self, network: nn.Module, loss: Loss, train: Optimisation):
        super().__init__(network, train)
        self.loss = loss

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts; in evaluation the mean of the code is decoded and nothing is masked."""
        return reconstruction_terms(self.network, batch, self.loss)
