"""Masking of training images for context encoding."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from brainuad.config.network import Masking


def mask_squares(batch: Float[Tensor, "n c *size"], settings: Masking) -> Float[Tensor, "n c *size"]:
    """A copy with squares painted over each image, their number, side, position and value drawn for each by itself.

    Sides are drawn uniformly from one pixel to `largest` times the image's side, values between the batch's lowest and
    highest; torch's global random state is used. Source: Paolini et al. (docs/methods/paolini.md).
    """
    low, high = (value.item() for value in batch.aminmax())
    masked = batch.clone()
    for image in masked:
        for _ in range(int(torch.randint(settings.squares[0], settings.squares[1] + 1, ()))):
            value, share = torch.rand(2).tolist()
            square = [slice(None)]
            for length in batch.shape[2:]:
                side = max(1, round(share * settings.largest * length))
                start = int(torch.randint(0, length - side + 1, ()))
                square.append(slice(start, start + side))
            image[tuple(square)] = low + value * (high - low)
    return masked
