"""The method of DISYRE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.disyre.network import Restorer
from brainuad.methods.shared.measured import Measures, MeasuringMethod

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.disyre import Settings


class DisyreMethod(MeasuringMethod):
    """Slices are restored as if they had corruptions of several severities; what changes is abnormal."""

    network: Restorer

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return Restorer(self.settings.network, self.settings.severity)

    def objective(self) -> LightningModule:
        """Restoration of synthetic corruptions."""
        from brainuad.methods.disyre.objective import RestorationObjective

        settings = self.settings
        return RestorationObjective(self.network, settings.corruption, settings.augmentation, self.train)

    def measure(self, batch: Float[Tensor, "n 1 h w"]) -> Measures:
        """Mean differences over the steps asked for; the absolute one times the slice's share of brain."""
        steps = [torch.full((len(batch),), step, device=batch.device) for step in self.settings.severity.asked]
        restored = torch.stack([self.network(batch, step) for step in steps])
        share = (batch > 0).float().mean(dim=(1, 2, 3), keepdim=True)
        return Measures(restored.mean(0), (batch - restored).mean(0), (batch - restored).abs().mean(0) * share)
