"""The method of RIAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.riad.network import Inpainter, divide
from brainuad.methods.riad.similarity import dissimilarity, smooth
from brainuad.methods.shared.measured import Measures, MeasuringMethod

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.riad import Settings


class RiadMethod(MeasuringMethod):
    """Slices are painted anew from their surroundings, with squares of every size; what cannot be is abnormal."""

    network: Inpainter

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return Inpainter(self.settings.network)

    def objective(self) -> LightningModule:
        """Inpainting of hidden squares."""
        from brainuad.methods.riad.objective import InpaintingObjective

        return InpaintingObjective(self.network, self.settings.hiding, self.settings.loss, self.train)

    def measure(self, batch: Float[Tensor, "n 1 h w"]) -> Measures:
        """Means over the sizes of squares. Every batch has the same squares, so that a scan has one map."""
        hiding, size = self.settings.hiding, (batch.shape[2], batch.shape[3])
        side_of_mean = self.settings.similarity.mean_filter
        painted = []
        for side in hiding.squares:
            sets = divide(size, side, hiding.sets, torch.Generator().manual_seed(side))
            painted.append(self.network(batch, sets.to(batch.device)))
        unlike = torch.stack([smooth(dissimilarity(batch, each), side_of_mean) for each in painted])
        mean = torch.stack(painted).mean(0)
        return Measures(mean, batch - mean, unlike.mean(0))
