"""Noise that diffusion models add to slices, of mean 0 and variance 1."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from brainuad.config.diffusion import AddedNoise

SIMPLEX_SD = 0.00511
"""Standard deviation of one octave as computed here, measured over 10 million pixels."""
GRADIENTS = [[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if abs(x) + abs(y) + abs(z) == 2]
"""Directions from the middle of a cube to its twelve edges."""
TABLE = 256
"""Length of the random permutation by which the corners of a simplex get their gradients."""


class Draws:
    """Random numbers for a device: of torch's global state, or with a seed the same on every device."""

    def __init__(self, device: torch.device, seed: int | None = None):
        self.device = device
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """Of N(0, 1)."""
        if self.generator is None:
            return torch.randn(*shape, device=self.device)
        return torch.randn(*shape, generator=self.generator).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Between 0 and 1."""
        if self.generator is None:
            return torch.rand(*shape, device=self.device)
        return torch.rand(*shape, generator=self.generator).to(self.device)


def draw_noise(noise: AddedNoise, draws: Draws, count: int, size: int) -> Float[Tensor, "n 1 size size"]:
    """Independent noise for each image."""
    if noise.kind == "simplex":
        return _simplex_octaves(noise, draws, count, size)
    if noise.kind == "pyramid":
        return _pyramid(noise, draws, count, size)
    return draws.normal(count, 1, size, size)


def _pyramid(noise: AddedNoise, draws: Draws, count: int, size: int) -> Tensor:
    """Gaussian noise at full size and at sizes that shrink by random factors of 2 to 4, scaled to unit variance."""
    total, side, weight = draws.normal(count, 1, size, size), size, 1.0
    while side > 1:
        side = max(1, int(side / (2 + 2 * draws.uniform(1).item())))
        weight *= noise.discount
        coarse = draws.normal(count, 1, side, side)
        total = total + weight * interpolate(coarse, size=(size, size), mode="bilinear")
    return total / total.std()


def _simplex_octaves(noise: AddedNoise, draws: Draws, count: int, size: int) -> Tensor:
    """The sum of octaves, each a random plane through simplex noise in three dimensions."""
    axis = torch.arange(size, device=draws.device, dtype=torch.float32)
    plane = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)
    total = torch.zeros(count, size * size, device=draws.device)
    variance = 0.0
    for octave in range(noise.octaves):
        length, amplitude = noise.coarsest / 2**octave, noise.persistence**octave
        table = draws.uniform(count, TABLE).argsort(1)
        points = torch.cat([plane / length, torch.zeros_like(plane[:1])]) + TABLE * draws.uniform(count, 3, 1)
        total += amplitude * _simplex(points, table)
        variance += (amplitude * SIMPLEX_SD) ** 2
    return total.unflatten(1, (1, size, size)) / variance**0.5


def _simplex(points: Float[Tensor, "n 3 p"], table: Int[Tensor, "n table"]) -> Float[Tensor, "n p"]:
    """Simplex noise (Perlin 2001) at points in space.

    A point lies in a tetrahedron, and each of its four corners adds a ramp in a random direction, which fades out
    before the opposite side.
    """
    cell = (points + points.sum(1, keepdim=True) / 3).floor()
    inside = points - (cell - cell.sum(1, keepdim=True) / 6)
    x, y, z = inside.unbind(1)
    # axes in falling order of the position in the cell lead from corner to corner
    rank = torch.stack(
        [(x >= y).int() + (x >= z).int(), (y > x).int() + (y >= z).int(), (z > x).int() + (z > y).int()], 1
    )
    directions = torch.tensor(GRADIENTS, device=points.device, dtype=points.dtype)
    total = torch.zeros_like(x)
    for corner in range(4):
        passed = (rank >= 3 - corner).to(points.dtype)
        offset = inside - passed + corner / 6
        key = torch.zeros_like(x, dtype=torch.long)
        for place in (cell + passed).long().unbind(1):
            key = table.gather(1, (key + place) % TABLE)
        ramp = (directions[key % len(GRADIENTS)] * offset.movedim(1, 2)).sum(2)
        total += (0.5 - offset.square().sum(1)).clamp(min=0) ** 4 * ramp
    return total
