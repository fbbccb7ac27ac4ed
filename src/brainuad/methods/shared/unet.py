"""A small U-Net that sees patches of pixels as channels: fast enough for a processor."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.config.network import UNetwork


class UNet(nn.Module):
    """From `inputs` to `outputs` channels of one size, whose sides are multiples of `settings.multiple`."""

    def __init__(self, settings: UNetwork, inputs: int, outputs: int):
        super().__init__()
        self.patch, channels = settings.patch, settings.channels
        pixels = settings.patch**2
        widths = pairwise([inputs * pixels, *channels])
        self.down = nn.ModuleList(_level(before, after, settings) for before, after in widths)
        upwards = pairwise(reversed(channels))
        self.up = nn.ModuleList(_level(below + beside, beside, settings) for below, beside in upwards)
        self.last = nn.Conv2d(channels[0], outputs * pixels, 1)

    def forward(self, batch: Float[Tensor, "n inputs x y"]) -> Float[Tensor, "n outputs x y"]:
        """Any values, without an activation at the end."""
        batch = functional.pixel_unshuffle(batch, self.patch)
        levels = [self.down[0](batch)]
        for level in self.down[1:]:
            levels.append(level(functional.avg_pool2d(levels[-1], 2)))
        batch = levels.pop()
        for level in self.up:
            finer = functional.interpolate(batch, scale_factor=2)
            batch = level(torch.cat([finer, levels.pop()], dim=1))
        return functional.pixel_shuffle(self.last(batch), self.patch)


def _level(before: int, after: int, settings: UNetwork) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [
            nn.Conv2d(channels, after, 3, padding=1),
            nn.GroupNorm(settings.groups_of(after), after),
            nn.SiLU(),
        ]
    return nn.Sequential(*layers)
