"""Frozen features and their autoencoder. Source: Meissen et al. 2023 and the authors' code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.methods.shared.features import Frozen
from brainuad.methods.shared.resnet import ResNet, widths

if TYPE_CHECKING:
    from brainuad.methods.feature_autoencoder import Settings

SIGMA = 1.5
"""Of the Gaussian window, in places."""


class Rebuilt(NamedTuple):
    """Features and their reconstruction, of one size."""

    features: Float[Tensor, "n c h w"]
    rebuilt: Float[Tensor, "n c h w"]


class FeatureNetwork(Frozen):
    """Joined features of a residual network, and the autoencoder that is trained on them."""

    def __init__(self, settings: Settings):
        backbone, self.layers = settings.backbone, settings.layers
        super().__init__(ResNet(backbone.network, backbone.width, max(settings.layers)))
        count = sum(widths(backbone.network, backbone.width)[number] for number in settings.layers)
        self.autoencoder = _autoencoder(count, settings.channels, settings.dropout)

    def forward(self, batch: Float[Tensor, "n 3 x y"]) -> Rebuilt:
        """Features and reconstruction."""
        with torch.no_grad():
            maps = self.backbone(batch)
            size = maps[0].shape[2:]
            features = torch.cat(
                [
                    functional.interpolate(maps[number], size=size, mode="bilinear", align_corners=True)
                    for number in self.layers
                ],
                dim=1,
            )
        return Rebuilt(features, self.autoencoder(features))


def dissimilarity(found: Rebuilt, window: int) -> Float[Tensor, "n c h w"]:
    """1 minus the structural similarity at each place, with zeros around the map."""
    from monai.metrics.regression import compute_ssim_and_cs  # late: it takes a second

    padded = [functional.pad(each, [window // 2] * 4) for each in found]
    similarity: Tensor = compute_ssim_and_cs(*padded, 2, [window] * 2, [SIGMA] * 2)[0]
    return 1 - similarity


def _autoencoder(count: int, channels: Sequence[int], dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise([count, *channels]):
        parts += [nn.Conv2d(inputs, outputs, 5, 2, 2, bias=False), *_after(outputs, dropout)]
    for inputs, outputs in pairwise([*reversed(channels), count]):
        parts += [nn.ConvTranspose2d(inputs, outputs, 6, 2, 2, bias=False), *_after(outputs, dropout)]
    return nn.Sequential(*parts, nn.Conv2d(count, count, 1, bias=False))


def _after(channels: int, dropout: float) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(), *([nn.Dropout2d(dropout)] if dropout else [])]
