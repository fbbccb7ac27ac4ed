"""Corruption of training images for context encoding, as a transform that any autoencoder can take."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from brainuad.config.network import Corruption


def corrupt(batch: Float[Tensor, "n c *size"], settings: Corruption) -> Float[Tensor, "n c *size"]:
    """A copy with squares of random number, side, place and value painted over each image of its own (trap T6).

    Sides are drawn evenly from one pixel to `largest` times the image's side, values between the batch's lowest and
    highest; torch's global random state is used. Source: Paolini et al.; models.md 1.2.
    """
    low, high = (value.item() for value in batch.aminmax())
    painted = batch.clone()
    for image in painted:
        for _ in range(int(torch.randint(settings.squares[0], settings.squares[1] + 1, ()))):
            value, share = torch.rand(2).tolist()
            place = [slice(None)]
            for length in batch.shape[2:]:
                side = max(1, round(share * settings.largest * length))
                start = int(torch.randint(0, length - side + 1, ()))
                place.append(slice(start, start + side))
            image[tuple(place)] = low + value * (high - low)
    return painted
