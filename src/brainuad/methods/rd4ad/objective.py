"""The loss of reverse distillation, as in the authors' code: one cosine a slice and layer."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from brainuad.methods.shared.objective import Objective, Terms
from brainuad.methods.shared.pretrained import as_colour


class DistillationObjective(Objective):
    """1 minus the cosine similarity of all features of a slice, summed over layers."""

    def terms(self, batch: Float[Tensor, "n 1 x y"]) -> Terms:
        """The loss."""
        pairs = zip(*self.network(as_colour(batch)), strict=True)
        losses = [1 - functional.cosine_similarity(one.flatten(1), other.flatten(1)).mean() for one, other in pairs]
        return {"loss": torch.stack(losses).sum()}
