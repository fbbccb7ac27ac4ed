"""The U-Net that paints hidden squares, and which squares are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from brainuad.methods.shared.unet import UNet

if TYPE_CHECKING:
    from brainuad.methods.riad import InpaintingNetwork


class Inpainter(nn.Module):
    """Paints squares that it does not see."""

    def __init__(self, settings: InpaintingNetwork):
        super().__init__()
        self.unet = UNet(settings, inputs=1, outputs=1)

    def forward(self, batch: Float[Tensor, "n 1 h w"], sets: Int[Tensor, "h w"]) -> Float[Tensor, "n 1 h w"]:
        """Each slice as it is painted where it is hidden; `sets`: the set of each pixel, counted from 0."""
        count = int(sets.max()) + 1
        hidden = torch.stack([sets == number for number in range(count)])[:, None, None]
        painted: Tensor = self.unet((batch * ~hidden).flatten(0, 1))
        return (painted.unflatten(0, (count, len(batch))) * hidden).sum(0)


def divide(shape: tuple[int, int], side: int, count: int, generator: torch.Generator | None = None) -> Tensor:
    """The set of each pixel, (h, w): squares of this side, put into `count` sets of like size at random."""
    rows, columns = (-(-length // side) for length in shape)
    order = torch.randperm(rows * columns, generator=generator) % count
    squares = order.reshape(rows, columns).repeat_interleave(side, 0).repeat_interleave(side, 1)
    return squares[: shape[0], : shape[1]]
