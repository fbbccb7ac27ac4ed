"""Patch features of healthy scans, a coreset of them, and the distance to the nearest. Source: Roth et al. 2022."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

PROJECTIONS = 128
"""By which a coreset is searched, as in the authors' code: distances change little, and take a tenth of the time."""
AT_ONCE = 8_000_000
"""Distances that are held at the same time: 32 MB."""


def coreset(patches: Float[Tensor, "n d"], count: int, rng: np.random.Generator) -> Int[Tensor, " count"]:
    """Greedy choice of `count` patches: each is the one farthest from those that are chosen already.

    Distances are those of `PROJECTIONS` random projections. All patches where there are no more.
    """
    if count >= len(patches):
        return torch.arange(len(patches))
    if patches.shape[1] > PROJECTIONS:
        matrix = rng.standard_normal((patches.shape[1], PROJECTIONS), dtype=np.float32)
        patches = patches @ torch.from_numpy(matrix).to(patches)
    squares = patches.square().sum(1)
    chosen = torch.empty(count, dtype=torch.long)
    chosen[0] = int(rng.integers(len(patches)))
    nearest = torch.full_like(squares, torch.inf)
    for number in range(1, count):
        last = chosen[number - 1]
        distance = squares - 2 * (patches @ patches[last]) + squares[last]
        nearest = torch.minimum(nearest, distance)
        nearest[last] = -torch.inf
        chosen[number] = nearest.argmax()
    return chosen


def nearest_distance(features: Float[Tensor, "n d"], bank: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
    """Squared Euclidean distance of each feature to the nearest of the bank."""
    squares = bank.square().sum(1)
    rows = max(1, AT_ONCE // len(bank))
    parts = [
        torch.addmm(squares, part, bank.T, alpha=-2).amin(1) + part.square().sum(1) for part in features.split(rows)
    ]
    return torch.cat(parts).clamp(min=0) if parts else features.new_zeros(0)
