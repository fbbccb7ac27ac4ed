"""Synthetic corruptions and augmentations of healthy slices: pure functions on batches, on their device.

Random numbers are torch's global ones, which the train stage seeds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from brainuad.methods.disyre import Augmentation, Corruption


Batch = Float[Tensor, "n 1 h w"]
HARMONICS = 3
"""Waves around the border of a blob: from 2 to 4 bumps."""
FOREIGN = 0.2
"""Chance of each change of the foreign texture: brightness, noise, gamma."""


def corrupt(batch: Batch, settings: Corruption) -> tuple[Batch, Float[Tensor, "n"]]:
    """Corrupted slices in [0, 1], and the severity of each from 0 to 1; what is 0 in the batch is background.

    Foreign texture, then a shift of intensity of some kinds of tissue, in the same blob. Source: the reimplementation
    of DISYRE in AlexanderFrotscher/UAD-IMAG.
    """
    brain = batch > 0
    centres = _random_pixels(brain)
    shape = blobs(batch, centres, settings) * brain
    mixed, share = _mix_in(batch, shape, centres)
    shifted = _shift_levels(mixed, shape, settings.levels) * brain
    change = (shifted - mixed).abs().amax(dim=(1, 2, 3))
    return shifted, torch.maximum(share, change)


def blobs(batch: Batch, centres: Float[Tensor, "n 2"], settings: Corruption) -> Batch:
    """A blob around each centre, from 0 to 1: an ellipse with bumps, its border sharp or blurred."""
    n, (h, w), device = len(batch), batch.shape[2:], batch.device
    y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    dy, dx = (axis - centres[:, i, None, None] for i, axis in enumerate((y, x)))
    low, high = (math.log(radius) for radius in settings.radius)
    radius = torch.exp(_uniform(n, low, high, device)) * torch.exp(_uniform(n, -0.4, 0.4, device))
    ratio = torch.exp(_uniform(n, -0.5, 0.5, device))
    angle = torch.atan2(dy, dx)
    border = torch.cos(2 * (angle - _uniform(n, 0, math.pi, device)[:, None, None])) * ratio.log()[:, None, None] / 2
    for bumps in range(2, 2 + HARMONICS):
        size, phase = _uniform(n, 0, 0.3 / (bumps - 1), device), _uniform(n, 0, 2 * math.pi, device)
        border = border + size[:, None, None] * torch.cos(bumps * angle + phase[:, None, None])
    inside = torch.hypot(dy, dx) <= radius[:, None, None] * torch.exp(border)
    soft = torch.rand(n, device=device) < settings.soft
    sigma = torch.where(soft, _uniform(n, 0, settings.edge, device), 0)
    return blurred(inside[:, None].float(), sigma)


def blurred(batch: Batch, sigma: Float[Tensor, "n"]) -> Batch:
    """Each slice convolved with a Gaussian of its own sigma, in pixels; 0 leaves it as it is."""
    reach = math.ceil(3 * float(sigma.max()))
    if reach == 0:
        return batch
    offsets = torch.arange(-reach, reach + 1, device=batch.device)
    kernel = torch.exp(-0.5 * (offsets / sigma.clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, None]
    one_by_one = batch.transpose(0, 1)
    for shape, padding in (((-1, 1), (reach, 0)), ((1, -1), (0, reach))):
        weight = kernel.reshape(len(batch), 1, *shape)
        one_by_one = functional.conv2d(one_by_one, weight, padding=padding, groups=len(batch))
    return one_by_one.transpose(0, 1)


def augment(batch: Batch, settings: Augmentation) -> Batch:
    """Slices as another healthy person on another scanner might have them, in [0, 1]; background stays 0."""
    n, device = len(batch), batch.device
    for axis in (2, 3):
        batch = torch.where(_chosen(n, settings.flips, device), batch.flip(axis), batch)
    batch = _turned(batch, settings.turns)
    brain, chance = batch > 0, settings.intensities
    batch = batch * torch.where(_chosen(n, chance, device), _column(n, 0.9, 1.1, device), 1)
    batch = batch.clamp(0, 1)
    batch = torch.where(_chosen(n, chance, device), batch ** _gamma(n, device), batch)
    batch = torch.where(_chosen(n, chance, device), 1 - (1 - batch) ** _gamma(n, device), batch)
    noise = torch.randn_like(batch) * _column(n, 0, 0.05, device).sqrt()
    batch = torch.where(_chosen(n, chance, device), batch + noise, batch)
    sigma = torch.where(torch.rand(n, device=device) < chance, _uniform(n, 0.5, 1.5, device), 0)
    return blurred(batch, sigma).clamp(0, 1) * brain


def _turned(batch: Batch, chance: float) -> Batch:
    n, device = len(batch), batch.device
    angle = torch.where(torch.rand(n, device=device) < chance, _uniform(n, -math.pi / 12, math.pi / 12, device), 0)
    scale = torch.where(torch.rand(n, device=device) < chance, _uniform(n, 0.75, 1.25, device), 1)
    changed = (angle != 0) | (scale != 1)
    if not changed.any():
        return batch
    cos, sin, none = angle.cos() / scale, angle.sin() / scale, torch.zeros_like(angle)
    matrix = torch.stack([torch.stack([cos, -sin, none], 1), torch.stack([sin, cos, none], 1)], 1)[changed]
    grid = functional.affine_grid(matrix, list(batch[changed].shape), align_corners=False)
    turned = batch.clone()
    turned[changed] = functional.grid_sample(batch[changed], grid, align_corners=False)
    return turned


def _mix_in(batch: Batch, shape: Batch, centres: Float[Tensor, "n 2"]) -> tuple[Batch, Float[Tensor, "n"]]:
    """The batch with a share of foreign texture inside the shape, and that share; 0 where nothing has changed.

    The texture of each slice is that of the next one of the batch, around a random place of its brain. It is brought to
    the range of intensities that the slice has inside the shape.
    """
    n, device = len(batch), batch.device
    other = batch.roll(1, 0)
    shifts = (centres - _random_pixels(other > 0)).tolist()
    foreign = torch.stack(
        [each.roll((round(dy), round(dx)), dims=(1, 2)) for each, (dy, dx) in zip(other, shifts, strict=True)]
    )
    foreign = torch.where(_chosen(n, FOREIGN, device), foreign + 0.1 * torch.randn(n, 1, 1, 1, device=device), foreign)
    noise = torch.randn_like(foreign) * _column(n, 0, 0.2, device).sqrt()
    foreign = torch.where(_chosen(n, FOREIGN, device), foreign + noise, foreign).clamp(0, 1)
    foreign = torch.where(_chosen(n, FOREIGN, device), foreign ** _gamma(n, device), foreign)
    inside = shape > 0
    low, high = _range(batch, inside)
    foreign_low, foreign_high = _range(foreign, inside)
    foreign = (foreign - foreign_low) / (foreign_high - foreign_low + 1e-3) * (high - low) + low
    share = torch.rand(n, device=device)
    mixed = torch.where(inside, batch + (foreign.clamp(0, 1) - batch) * shape * share[:, None, None, None], batch)
    return mixed, torch.where((mixed == batch).flatten(1).all(1), 0, share)


def _shift_levels(batch: Batch, shape: Batch, levels: list[float]) -> Batch:
    """The batch with some kinds of tissue inside the shape brighter or darker by one number, clipped to [0, 1]."""
    n, device = len(batch), batch.device
    kinds = (batch - torch.tensor(levels, device=device)[None, :, None, None]).abs().argmin(1)
    kind = functional.one_hot(kinds, len(levels)).movedim(3, 1).float()
    counts = (kind * (shape > 0)).sum(dim=(2, 3))
    shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
    taken = torch.rand(n, len(levels), device=device) < shares
    taken = taken | ~taken.any(1, keepdim=True)
    where = blurred((kind * taken[:, :, None, None]).sum(1, keepdim=True), torch.ones(n, device=device)) * shape
    sign = torch.where(torch.rand(n, device=device) < 0.5, 1.0, -1.0)
    return (batch + where * (torch.rand(n, device=device) * sign)[:, None, None, None]).clamp(0, 1)


def _range(values: Batch, inside: Bool[Tensor, "n 1 h w"]) -> tuple[Tensor, Tensor]:
    """Lowest and highest value inside, one per slice; 0 and 1 where nothing is inside."""
    low = torch.where(inside, values, 2).amin(dim=(1, 2, 3), keepdim=True)
    high = torch.where(inside, values, -1).amax(dim=(1, 2, 3), keepdim=True)
    empty = ~inside.flatten(1).any(1)[:, None, None, None]
    return torch.where(empty, 0, low), torch.where(empty, 1, high)


def _random_pixels(brain: Bool[Tensor, "n 1 h w"]) -> Float[Tensor, "n 2"]:
    """A random pixel of each brain, (row, column); of an empty one any pixel."""
    weights = brain.flatten(1).float()
    weights = torch.where(weights.any(1, keepdim=True), weights, 1)
    index = torch.multinomial(weights, 1)[:, 0]
    return torch.stack([index // brain.shape[3], index % brain.shape[3]], 1).float()


def _uniform(n: int, low: float, high: float, device: torch.device) -> Float[Tensor, "n"]:
    return low + (high - low) * torch.rand(n, device=device)


def _column(n: int, low: float, high: float, device: torch.device) -> Float[Tensor, "n 1 1 1"]:
    return _uniform(n, low, high, device)[:, None, None, None]


def _gamma(n: int, device: torch.device) -> Float[Tensor, "n 1 1 1"]:
    """From 0.5 to 2, half of them below 1."""
    below = torch.rand(n, 1, 1, 1, device=device) < 0.5
    return torch.where(below, _column(n, 0.5, 1, device), _column(n, 1, 2, device))


def _chosen(n: int, chance: float, device: torch.device) -> Bool[Tensor, "n 1 1 1"]:
    return torch.rand(n, 1, 1, 1, device=device) < chance
