"""The method of patched diffusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.shared.diffusion import Chain, Denoiser, DiffusionMethod, DiffusionObjective, as_times, to_unit
from brainuad.methods.shared.noise import Draws

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.pddpm import Settings
    from brainuad.methods.shared.objective import Terms


class PatchObjective(DiffusionObjective):
    """The mean absolute error of the slice that is predicted inside a patch."""

    def __init__(self, network: nn.Module, settings: Settings):
        super().__init__(network, settings)
        self.chain, self.side = Chain(settings.diffusion), settings.patches.side

    def terms(self, batch: Float[Tensor, "n 1 size size"]) -> Terms:
        """The loss at a time step and in a patch of each slice."""
        start, times = to_unit(batch, self.scale), (self.shares(batch) * self.chain.steps).long()
        across = batch.shape[-1] // self.side
        chosen = torch.randint(across**2, (len(batch),), device=batch.device)
        inside = torch.zeros(len(batch), across**2, device=batch.device)
        inside = inside.scatter(1, chosen[:, None], 1.0).unflatten(1, (1, across, across))
        inside = inside.repeat_interleave(self.side, 2).repeat_interleave(self.side, 3)
        noisy = self.chain.noisy(start, self.draw(batch), times)
        predicted = self.network(torch.where(inside > 0, noisy, start), times)
        return {"loss": ((predicted - start).abs() * inside).sum() / inside.sum()}


class PatchedDiffusionMethod(DiffusionMethod):
    """Estimates each patch from its noisy copy and the rest of the slice."""

    def __init__(self, settings: Settings):
        self.settings, self.chain = settings, Chain(settings.diffusion)
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return Denoiser(self.settings.network)

    def objective(self) -> LightningModule:
        """The network learns to predict a slice of which one patch has noise."""
        return PatchObjective(self.network, self.settings)

    def denoised(self, start: Float[Tensor, "n 1 size size"], draws: Sequence[Draws]) -> Tensor:
        times = as_times(self.settings.patches.time - 1, start).long()
        noisy = self.chain.noisy(start, self.draw(draws), times)
        estimate = torch.empty_like(start)
        for patch in self.patches():
            seen = start.clone()
            seen[patch] = noisy[patch]
            estimate[patch] = self.network(seen, times)[patch]
        return estimate.clamp(-1, 1)

    def patches(self) -> Iterator[tuple[slice, ...]]:
        """The parts of a batch that have noise in turn."""
        side, size = self.settings.patches.side, self.size
        for left in range(0, size, side):
            for below in range(0, size, side):
                yield slice(None), slice(None), slice(left, left + side), slice(below, below + side)
