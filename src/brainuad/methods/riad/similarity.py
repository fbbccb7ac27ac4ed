"""Gradient magnitude similarity. Source: Xue et al. 2014, at several scales by Zavrtanik et al. 2021."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Batch = Float[Tensor, "n 1 h w"]
SCALES = 4
CONSTANT = 0.0026
"""Keeps flat regions alike; for images in [0, 1]."""


def dissimilarity(image: Batch, other: Batch) -> Batch:
    """1 - gradient magnitude similarity, from 0 to 1: the mean over four scales, each half as fine as the one before.

    Scales at which a side is shorter than three pixels are left out.
    """
    size, found = image.shape[2:], []
    for _ in range(SCALES):
        if min(image.shape[2:]) < 3:
            break
        ours, theirs = _gradient(image), _gradient(other)
        alike = (2 * ours * theirs + CONSTANT) / (ours.square() + theirs.square() + CONSTANT)
        found.append(functional.interpolate(1 - alike, size=size, mode="bilinear"))
        image, other = (functional.avg_pool2d(each, 2) for each in (image, other))
    return torch.stack(found).mean(0)


def smooth(values: Batch, side: int) -> Batch:
    """Mean over a square of this odd side; beyond the border nothing counts."""
    return functional.avg_pool2d(values, side, 1, side // 2, count_include_pad=False) if side > 1 else values


def _gradient(image: Batch) -> Batch:
    """Gradient magnitude by Prewitt's filters; at the border as if the image went on."""
    across = torch.tensor([[1.0, 0.0, -1.0]] * 3, device=image.device) / 3
    filters = torch.stack([across, across.T])[:, None]
    both = functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), filters)
    # the root has no derivative at 0
    return (both.square().sum(1, keepdim=True) + 1e-12).sqrt()
