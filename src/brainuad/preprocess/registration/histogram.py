"""A scan at many points, and how often its values stand beside the template's: both with gradients of their own.

A point touches eight voxels, and four cells of the histogram. What torch computes by itself touches all 32 bins of each
point, and takes twice the time.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import pad

BINS = 32
MARGIN_VOXELS = 2
"""Of zeros around an image: a point outside of it then has the value 0, and no slope."""


class Bins:
    """The two nearest of 32 bins of each value in [0, 1]: the `lower` one, and how far on the value lies, 0 to 1."""

    def __init__(self, values: Float[Tensor, "... points"]):
        scaled = values * (BINS - 1)
        lower = scaled.floor().clamp_(0, BINS - 2)
        self.beyond = scaled - lower
        self.lower: Int[Tensor, "... points"] = lower.long()


def joint_histogram(values: Float[Tensor, "batch points"], fixed: Bins) -> Float[Tensor, "batch bins bins"]:
    """Shares of points by the value of the template (first) and of the scan: each point's are spread linearly."""
    joint: Tensor = _JointHistogram.apply(values, fixed)  # type: ignore[no-untyped-call]
    return joint


def sampled(at: Float[Tensor, "3 points"], image: Float[Tensor, "x y z"]) -> Float[Tensor, "points"]:
    """Values of an image with its margin, at points given in its voxels; linear between voxels."""
    values: Tensor = _Sampled.apply(at, image)  # type: ignore[no-untyped-call]
    return values


class _JointHistogram(Function):
    @staticmethod
    def forward(ctx: Any, values: Float[Tensor, "batch points"], fixed: Bins) -> Float[Tensor, "batch bins bins"]:
        batch, points = values.shape
        own = Bins(values)
        first = torch.arange(batch)[:, None] * BINS**2
        cell = (own.lower + fixed.lower * BINS + first).flatten()

        def sums(weights: Float[Tensor, "batch points"]) -> Float[Tensor, "batch bins bins"]:
            return torch.zeros(batch * BINS**2).scatter_add_(0, cell, weights.flatten()).reshape(batch, BINS, BINS)

        both = own.beyond * fixed.beyond
        upper, right, corner = sums(fixed.beyond.expand(batch, points)), sums(own.beyond), sums(both)
        joint = sums(torch.ones_like(both)) - upper - right + corner
        joint[:, :, 1:] += (right - corner)[:, :, :-1]
        joint[:, 1:] += (upper - corner)[:, :-1]
        joint[:, 1:, 1:] += corner[:, :-1, :-1]
        ctx.cell, ctx.beyond, ctx.shape = cell, fixed.beyond, (batch, points)
        return joint / points

    @staticmethod
    def backward(ctx: Any, *gradients: Float[Tensor, "batch bins bins"]) -> tuple[Float[Tensor, "batch points"], None]:
        right = pad(gradients[0].diff(dim=2), (0, 1))
        upper = pad(right.diff(dim=1), (0, 0, 0, 1))
        here, on = (each.flatten().index_select(0, ctx.cell).reshape(ctx.shape) for each in (right, upper))
        return torch.addcmul(here, on, ctx.beyond) * ((BINS - 1) / ctx.shape[1]), None


class _Sampled(Function):
    @staticmethod
    def forward(ctx: Any, at: Float[Tensor, "3 points"], image: Float[Tensor, "x y z"]) -> Float[Tensor, "points"]:
        last = torch.tensor(image.shape)[:, None] - 2
        low = torch.minimum(at.floor().clamp_(min=0), last.to(at.dtype))
        x, y, z = (at - low).clamp_(0, 1)
        step = (image.shape[1] * image.shape[2], image.shape[2])
        i, j, k = low.long()
        first, flat = i * step[0] + j * step[1] + k, image.flatten()

        def corner(offset: int) -> Float[Tensor, "points"]:
            return flat[offset:].index_select(0, first)

        def along_z(offset: int) -> tuple[Float[Tensor, "points"], Float[Tensor, "points"]]:
            """Values on one of the four edges of the cell, and their slope."""
            begin = corner(offset)
            slope = corner(offset + 1).sub_(begin)
            return torch.addcmul(begin, z, slope), slope

        (near, near_z), (side, side_z), (far, far_z), (end, end_z) = map(along_z, (0, step[1], step[0], sum(step)))
        near_y, far_y = side - near, end - far
        front, front_z = torch.addcmul(near, y, near_y), torch.addcmul(near_z, y, side_z - near_z)
        back, back_z = torch.addcmul(far, y, far_y), torch.addcmul(far_z, y, end_z - far_z)
        along = back - front, torch.addcmul(near_y, x, far_y - near_y), torch.addcmul(front_z, x, back_z - front_z)
        ctx.save_for_backward(torch.stack(along))
        return torch.addcmul(front, x, along[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Float[Tensor, "points"]) -> tuple[Float[Tensor, "3 points"], None]:
        (slopes,) = ctx.saved_tensors
        return slopes * gradients[0], None
