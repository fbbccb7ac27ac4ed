"""The objective of RIAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from monai.losses.ssim_loss import SSIMLoss
from torch import Tensor

from brainuad.config.network import Optimisation
from brainuad.methods.riad.network import Inpainter, divide
from brainuad.methods.riad.similarity import dissimilarity
from brainuad.methods.shared.objective import Terms
from brainuad.methods.shared.steady import SteadyObjective

if TYPE_CHECKING:
    from brainuad.methods.riad import Hiding, InpaintingLoss


class InpaintingObjective(SteadyObjective):
    """Distances between slices and what was painted in place of their squares, of one size for a batch."""

    network: Inpainter

    def __init__(self, network: Inpainter, hiding: Hiding, loss: InpaintingLoss, train: Optimisation):
        super().__init__(network, train)
        self.hiding, self.loss = hiding, loss
        self.structure = SSIMLoss(spatial_dims=2)

    def terms(self, batch: Float[Tensor, "n 1 h w"]) -> Terms:
        """The loss and its parts."""
        sizes = self.hiding.squares
        side = sizes[int(torch.randint(len(sizes), ()))]
        sets = divide((batch.shape[2], batch.shape[3]), side, self.hiding.sets).to(batch.device)
        painted, weights = self.network(batch, sets), self.loss
        parts = {"squared": (painted - batch).square().mean()}
        if weights.gradient:
            parts["gradient"] = dissimilarity(batch, painted).mean()
        if weights.structure:
            parts["structure"] = self.structure(painted, batch)
        loss = sum(getattr(weights, name) * part for name, part in parts.items())
        return {"loss": torch.as_tensor(loss), **{name: part.detach() for name, part in parts.items()}}
