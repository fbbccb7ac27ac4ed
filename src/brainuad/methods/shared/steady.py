"""Objectives that draw random numbers for each batch, and the same ones at every validation."""

from __future__ import annotations

import torch
from torch import Tensor

from brainuad.methods.shared.objective import Objective, Terms


class SteadyObjective(Objective):
    """Its validation losses are comparable: what is random in `terms` follows from the number of the batch."""

    def validation_step(self, batch: Tensor, batch_idx: int = 0) -> Terms:
        """Terms of a batch of healthy validation examples; the random numbers of the training go on as they were."""
        with torch.random.fork_rng():
            torch.manual_seed(batch_idx)
            return super().validation_step(batch)
