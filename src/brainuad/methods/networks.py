"""Convolutional encoders and decoders, as plain `torch.nn.Module`s."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.model import Network


class Output(NamedTuple):
    """What a network makes of a batch; `mean` and `log_variance` of the code where it is variational."""

    reconstruction: Float[Tensor, "n 1 h w"]
    mean: Tensor | None = None
    log_variance: Tensor | None = None


class ConvAutoencoder(nn.Module):
    """Strided convolutions down, a dense or spatial code, transposed convolutions up, linear output.

    In evaluation the mean of the code is decoded, in training a sample of it. Source: Baur et al. 2018 with the
    authors' later unified layers; models.md 1.4.
    """

    def __init__(self, settings: Network):
        super().__init__()
        channels = settings.channels
        side = settings.size // 2 ** len(channels)
        self.encoder = encoder(channels, settings.kernel, settings.slope)
        if settings.bottleneck == "dense":
            flat = settings.reduce * side * side
            self.squeeze: nn.Module = nn.Sequential(nn.Conv2d(channels[-1], settings.reduce, 1), nn.Flatten())
            heads: list[nn.Module] = [nn.Linear(flat, settings.latent) for _ in range(1 + settings.variational)]
            self.widen: nn.Module = nn.Sequential(
                nn.Linear(settings.latent, flat),
                nn.Unflatten(1, (settings.reduce, side, side)),
                nn.Conv2d(settings.reduce, channels[-1], 1),
            )
        else:
            self.squeeze = nn.Identity()
            heads = [nn.Conv2d(channels[-1], settings.latent, 1) for _ in range(1 + settings.variational)]
            self.widen = nn.Conv2d(settings.latent, channels[-1], 1)
        self.heads = nn.ModuleList(heads)
        self.decoder = decoder(channels, settings.kernel, settings.slope)

    def forward(self, batch: Float[Tensor, "n 1 h w"]) -> Output:
        """Encode and decode."""
        trunk = self.squeeze(self.encoder(batch))
        code, *rest = (head(trunk) for head in self.heads)
        if not rest:
            return Output(self.decoder(self.widen(code)))
        log_variance = rest[0]
        drawn = code + torch.randn_like(code) * torch.exp(0.5 * log_variance) if self.training else code
        return Output(self.decoder(self.widen(drawn)), code, log_variance)


def encoder(channels: list[int], kernel: int, slope: float) -> nn.Sequential:
    """Convolutions of stride 2, each with batch normalisation and LeakyReLU."""
    layers: list[nn.Module] = []
    for before, after in zip([1, *channels], channels, strict=False):
        layers += [nn.Conv2d(before, after, kernel, 2, kernel // 2), nn.BatchNorm2d(after), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers)


def decoder(channels: list[int], kernel: int, slope: float) -> nn.Sequential:
    """Transposed convolutions of stride 2; channels halve from the encoder's last number down to its first."""
    widths = [max(channels[0], channels[-1] // 2**step) for step in range(len(channels))]
    layers: list[nn.Module] = [nn.BatchNorm2d(channels[-1]), nn.ReLU()]
    for before, after in zip([channels[-1], *widths], widths, strict=False):
        up = nn.ConvTranspose2d(before, after, kernel, 2, kernel // 2, output_padding=1)
        layers += [up, nn.BatchNorm2d(after), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))
