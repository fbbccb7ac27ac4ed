"""The loss of the segmentation: cross entropy and soft Dice in the brain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.config.network import Optimisation
from brainuad.methods.shared.objective import Objective, Terms
from brainuad.methods.synseg.inputs import INPUTS

if TYPE_CHECKING:
    from brainuad.methods.synseg import Weights

SMOOTHING = 1.0
"""Voxels added to both sides of the Dice, so that a batch without lesions has one."""


class SegmentationObjective(Objective):
    """Segments dark and bright lesions."""

    def __init__(self, network: nn.Module, weights: Weights, train: Optimisation):
        super().__init__(network, train)
        self.weights = weights

    def terms(self, batch: Float[Tensor, "n 13 x y"]) -> Terms:
        """`batch`: inputs, labels and brain, as `SyntheticSamples` gives them."""
        inputs, targets, brain = batch[:, :INPUTS], batch[:, INPUTS:-1], batch[:, -1:]
        logits = self.network(inputs).float()
        entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        cross_entropy = (entropy * brain).sum() / (targets.shape[1] * brain.sum()).clamp(min=1)
        found = logits.sigmoid() * brain
        overlap = 2 * (found * targets).sum((0, 2, 3)) + SMOOTHING
        dice = (overlap / ((found + targets).sum((0, 2, 3)) + SMOOTHING)).mean()
        loss = self.weights.cross_entropy * cross_entropy + self.weights.dice * (1 - dice)
        return {"loss": loss, "cross_entropy": cross_entropy.detach(), "soft_dice": dice.detach()}
