"""Restoration of images under a model of healthy ones. Source: You et al. 2019."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from brainuad.methods.gmvae import Restoration


Batch = Float[Tensor, "n 1 *size"]
Energy = Callable[[Batch], Float[Tensor, ""]]
"""The negative log probability of images under the model, summed over the batch."""


def restore(batch: Batch, energy: Energy, weight: float, settings: Restoration) -> Batch:
    """The images after steps down the gradient of `energy` + `weight` x the total variation of what was changed.

    Background, 0, stays. Nothing is random.
    """
    image, brain = batch, batch != 0
    for phase in settings.phases:
        for _ in range(phase.steps):
            with torch.enable_grad():
                at = image.detach().requires_grad_()
                total = energy(at) + weight * total_variation(batch - at)
                (gradient,) = torch.autograd.grad(total, at)
            image = image - phase.size * gradient.clamp(-settings.clip, settings.clip) * brain
    return image.detach()


def total_variation(image: Batch) -> Float[Tensor, ""]:
    """Sum of the absolute differences of neighbours along each axis."""
    return torch.stack([image.diff(dim=axis).abs().sum() for axis in range(2, image.ndim)]).sum()


def least_change(slices: Batch, energy: Energy, settings: Restoration) -> float:
    """The weight by which healthy slices change least, in absolute differences.

    Too small a weight lets healthy tissue be changed, too large a one makes the steps swing.
    """
    if len(settings.weights) == 1:
        return settings.weights[0]
    changes = [(restore(slices, energy, weight, settings) - slices).abs().sum().item() for weight in settings.weights]
    return settings.weights[changes.index(min(changes))]
