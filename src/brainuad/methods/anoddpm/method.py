"""The method of partial diffusion with simplex noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.shared.diffusion import (
    Chain,
    Denoiser,
    DiffusionMethod,
    DiffusionObjective,
    as_times,
    to_unit,
)
from brainuad.methods.shared.noise import Draws

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.anoddpm import Settings
    from brainuad.methods.shared.objective import Terms


class NoiseObjective(DiffusionObjective):
    """The mean squared error of the predicted noise."""

    def __init__(self, network: nn.Module, settings: Settings):
        super().__init__(network, settings)
        self.chain, self.below = Chain(settings.diffusion), settings.train_below

    def terms(self, batch: Float[Tensor, "n 1 size size"]) -> Terms:
        """The loss at a time step of each slice."""
        times, noise = (self.shares(batch) * self.below).long(), self.draw(batch)
        predicted = self.network(self.chain.noisy(to_unit(batch, self.scale), noise, times), times)
        return {"loss": (predicted - noise).square().mean()}


class PartialDiffusionMethod(DiffusionMethod):
    """Adds noise up to a time step and removes it step by step."""

    def __init__(self, settings: Settings):
        self.settings, self.chain = settings, Chain(settings.diffusion)
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return Denoiser(self.settings.network)

    def objective(self) -> LightningModule:
        """The network learns to predict the noise of a slice."""
        return NoiseObjective(self.network, self.settings)

    def denoised(self, start: Float[Tensor, "n 1 size size"], draws: Sequence[Draws]) -> Tensor:
        repeats = self.settings.partial.repeats
        total = self._once(start, draws)
        for _ in range(repeats - 1):
            total = total + self._once(start, draws)
        return total / repeats

    def _once(self, start: Tensor, draws: Sequence[Draws]) -> Tensor:
        times = self.times()
        noisy = self.chain.noisy(start, self.draw(draws), as_times(times[0], start).long())
        for time, earlier in zip(times, [*times[1:], -1], strict=True):
            predicted = self.network(noisy, as_times(time, start))
            estimate = self.chain.start_from_noise(noisy, predicted, time).clamp(-1, 1)
            noise = self.draw(draws) if earlier >= 0 else torch.zeros_like(noisy)
            noisy = self.chain.back(noisy, estimate, time, earlier, noise)
        return noisy

    def times(self) -> list[int]:
        """Time steps of the network's passes, from the noisiest one on."""
        partial = self.settings.partial
        passes = partial.start if partial.passes is None else partial.passes
        first = partial.start - 1
        return np.linspace(first, 0 if passes > 1 else first, passes).round().astype(int).tolist()
