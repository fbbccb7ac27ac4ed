"""The method of conditioned diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.diffusion import STRIDE
from brainuad.config.network import Optimisation
from brainuad.methods.cddpm.network import ConditionedDenoiser
from brainuad.methods.shared.diffusion import (
    Chain,
    DiffusionMethod,
    DiffusionObjective,
    as_times,
    to_unit,
)
from brainuad.methods.shared.neural import Stage
from brainuad.methods.shared.noise import Draws
from brainuad.methods.shared.steady import SteadyObjective

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.cddpm import Settings
    from brainuad.methods.shared.objective import Terms


class MaskedObjective(SteadyObjective):
    """The encoder learns to restore masked squares; their mean squared error."""

    network: ConditionedDenoiser

    def __init__(self, network: nn.Module, settings: Settings, train: Optimisation):
        super().__init__(network, train, ["encoder", "restorer"])
        self.scale, self.share = settings.diffusion, settings.encoder.masked

    def terms(self, batch: Float[Tensor, "n 1 size size"]) -> Terms:
        """The loss over masked squares."""
        start, across = to_unit(batch, self.scale), batch.shape[-1] // STRIDE
        count = min(max(1, round(self.share * across**2)), across**2 - 1)
        rank = torch.rand(len(batch), across**2, device=batch.device).argsort(1).argsort(1)
        masked = (rank < count).float().unflatten(1, (1, across, across))
        masked = masked.repeat_interleave(STRIDE, 2).repeat_interleave(STRIDE, 3)
        restored = self.network.restore(start * (1 - masked))
        return {"loss": ((restored - start).square() * masked).sum() / masked.sum()}


class ConditionedObjective(DiffusionObjective):
    """The mean absolute error of the predicted slice."""

    network: ConditionedDenoiser

    def __init__(self, network: nn.Module, settings: Settings):
        super().__init__(network, settings, ["encoder", "denoiser"])
        self.chain = Chain(settings.diffusion)

    def terms(self, batch: Float[Tensor, "n 1 size size"]) -> Terms:
        """The loss at a time step of each slice."""
        start, times = to_unit(batch, self.scale), (self.shares(batch) * self.chain.steps).long()
        noisy = self.chain.noisy(start, self.draw(batch), times)
        predicted = self.network.denoiser(noisy, times, self.network.encoder(start))
        return {"loss": (predicted - start).abs().mean()}


class ConditionedDiffusionMethod(DiffusionMethod):
    """Estimates a slice from noisy copies of it and from what the encoder sees of it."""

    network: ConditionedDenoiser

    def __init__(self, settings: Settings):
        self.settings, self.chain = settings, Chain(settings.diffusion)
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return ConditionedDenoiser(self.settings)

    def objective(self) -> LightningModule:
        """Encoder and U-Net learn to predict a slice from a noisy copy and the clean one's vector."""
        return ConditionedObjective(self.network, self.settings)

    def stages(self) -> list[Stage]:
        """The encoder's training on masked slices, if there is one, before that of the whole."""
        train = self.settings.encoder_train
        if train is None:
            return super().stages()
        masked = Stage("encoder", train, lambda: MaskedObjective(self.network, self.settings, train))
        return [masked, *super().stages()]

    def denoised(self, start: Float[Tensor, "n 1 size size"], draws: Sequence[Draws]) -> Tensor:
        features = self.network.encoder(start)
        estimates = []
        for time in self.settings.times:
            times = as_times(time - 1, start).long()
            noisy = self.chain.noisy(start, self.draw(draws), times)
            estimates.append(self.network.denoiser(noisy, times, features).clamp(-1, 1))
        return torch.stack(estimates).mean(0)
