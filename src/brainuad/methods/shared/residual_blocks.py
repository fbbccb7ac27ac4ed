"""Encoder and decoder of bottleneck residual blocks. Source: docs/methods/kuznetsov.md."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.network import Network

EXPANSION = 4
"""Output channels of a block per channel inside it."""


class Sum(nn.Module):
    """The sum of a branch and of its shortcut."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, batch: Float[Tensor, "n c x y"]) -> Float[Tensor, "n d u v"]:
        image: Tensor = self.branch(batch) + self.shortcut(batch)
        return image


def residual_encoder(settings: Network) -> nn.Sequential:
    """From an image to a map of `dense_channels` channels, halved once per number in `channels`.

    A 3x3 convolution halves first, then each block but the last. Convolutions before a normalisation have no bias,
    except the last.
    """
    planes, kernel = settings.channels, settings.kernel
    layers: list[nn.Module] = [nn.Conv2d(1, planes[0], 3, 2, 1, bias=False), nn.BatchNorm2d(planes[0]), nn.ReLU()]
    widths = [planes[0], *[EXPANSION * width for width in planes]]
    for number, (before, after) in enumerate(pairwise(widths)):
        stride = 2 if number < len(planes) - 1 else 1
        layers.append(_narrowing(before, after, kernel, stride))
    last = [nn.Conv2d(widths[-1], settings.dense_channels, 1), nn.BatchNorm2d(settings.dense_channels), nn.ReLU()]
    return nn.Sequential(*layers, *last)


def residual_decoder(settings: Network) -> nn.Sequential:
    """From that map to the image: a block that keeps the size, one for each doubling, and a 1x1 convolution."""
    planes = [settings.channels[-1], *reversed(settings.channels)]
    widths = [settings.dense_channels, *[EXPANSION * width for width in planes]]
    layers: list[nn.Module] = [
        _widening(before, after, settings.kernel, 1 if number == 0 else 2)
        for number, (before, after) in enumerate(pairwise(widths))
    ]
    layers.append(nn.Conv2d(widths[-1], 1, 1))
    if settings.output == "sigmoid":
        layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def _narrowing(before: int, after: int, kernel: int, stride: int) -> nn.Module:
    inside, padding = after // EXPANSION, kernel // 2
    branch = nn.Sequential(
        nn.Conv2d(before, inside, 1, bias=False),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.Conv2d(inside, inside, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.Conv2d(inside, after, 1, bias=False),
        nn.BatchNorm2d(after),
    )
    if stride == 1 and before == after:
        return _summed(branch, nn.Identity())
    down = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
    return _summed(branch, nn.Sequential(down, nn.BatchNorm2d(after)))


def _widening(before: int, after: int, kernel: int, stride: int) -> nn.Module:
    inside, padding, rest = after // EXPANSION, kernel // 2, stride - 1
    branch = nn.Sequential(
        nn.Conv2d(before, inside, 1),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, inside, kernel, stride, padding, output_padding=rest),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.Conv2d(inside, after, 1),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
    up = nn.ConvTranspose2d(before, after, 1, stride, output_padding=rest)
    return _summed(branch, nn.Sequential(up, nn.BatchNorm2d(after)))


def _summed(branch: nn.Module, shortcut: nn.Module) -> nn.Module:
    return nn.Sequential(Sum(branch, shortcut), nn.ReLU())
