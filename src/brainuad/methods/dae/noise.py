"""Coarse noise: normal numbers on a grid of large cells, with straight lines between them (Kascenas et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Generator, Tensor

if TYPE_CHECKING:
    from brainuad.methods.dae import Noise


def coarse_noise(
    like: Float[Tensor, "n c x y"],
    kinds: Sequence[Noise],
    spacing: tuple[float, float],
    generator: Generator | None = None,
) -> Float[Tensor, "n 1 x y"]:
    """Noise for each image of a batch, of a kind that is drawn by the kinds' weights.

    `spacing`: of the pixels, in mm. `generator`: on the device of `like`; torch's own if there is none.
    """
    count, device = len(like), like.device
    chances = torch.tensor([kind.weight for kind in kinds], device=device)
    chosen = torch.multinomial(chances, count, replacement=True, generator=generator)
    noise = like.new_zeros(count, 1, *like.shape[-2:])
    for number, kind in enumerate(kinds):
        along_x, along_y = (
            _between(size, kind.cell_mm / step, count, device, generator)
            for size, step in zip(like.shape[-2:], spacing, strict=True)
        )
        knots = torch.randn(count, along_x.shape[-1], along_y.shape[-1], generator=generator, device=device)
        drawn = kind.sd * (along_x @ knots @ along_y.transpose(1, 2))
        noise[:, 0] += torch.where((chosen == number)[:, None, None], drawn, 0)
    return noise


def _between(
    size: int, cell: float, count: int, device: torch.device, generator: Generator | None
) -> Float[Tensor, "n size knots"]:
    """Weights of knots, `cell` pixels apart, at each pixel; the first knot's place is drawn for each image."""
    offset = torch.rand(count, 1, 1, generator=generator, device=device)
    pixels = torch.arange(size, device=device)[:, None] / cell + offset
    knots = torch.arange(int(size / cell) + 3, device=device)
    return (1 - (pixels - knots).abs()).clamp(min=0)
