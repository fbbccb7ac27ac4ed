"""Convolutional encoders and decoders for slices and volumes, as plain `torch.nn.Module`s."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.network import Network, Trunk
from brainuad.methods.shared.residual_blocks import residual_decoder, residual_encoder

CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
UP: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class AutoencoderOutput(NamedTuple):
    """Output for a batch; `mean` and `log_variance` are those of the code where it is variational."""

    reconstruction: Float[Tensor, "n 1 *size"]
    mean: Tensor | None = None
    log_variance: Tensor | None = None


class ConvAutoencoder(nn.Module):
    """Strided convolutions or residual blocks down, a code, the same transposed up (docs/methods/).

    In evaluation the mean of the code is decoded, in training a sample of it: public code that samples at test time
    gives another map at each call.
    """

    def __init__(self, settings: Network):
        super().__init__()
        last, latent, dims = settings.channels[-1], settings.latent, settings.dims
        side = settings.size // 2 ** len(settings.channels)
        widths = 1 + settings.variational
        residual = settings.blocks == "residual"
        self.encoder = residual_encoder(settings) if residual else encoder(settings)
        if settings.bottleneck == "dense":
            # residual trunks end, and start again, at the reduced map
            flat = settings.dense_channels * side**dims
            narrow = [] if residual else [CONV[dims](last, settings.dense_channels, 1)]
            self.squeeze: nn.Module = nn.Sequential(*narrow, nn.Flatten())
            heads: list[nn.Module] = [nn.Linear(flat, latent) for _ in range(widths)]
            dense = nn.Linear(latent, flat), nn.Unflatten(1, (settings.dense_channels, *[side] * dims))
            self.widen: nn.Module = nn.Sequential(
                *dense, *([] if residual else [CONV[dims](settings.dense_channels, last, 1)])
            )
        elif settings.bottleneck == "conv":
            self.squeeze = Coordinates() if settings.coord_conv else nn.Identity()
            extra = dims * settings.coord_conv
            heads = [CONV[dims](last + extra, latent, side, bias=settings.bias) for _ in range(widths)]
            up = UP[dims](latent + extra, last, side, bias=settings.bias)
            self.widen = nn.Sequential(*[Coordinates()] * settings.coord_conv, up, nn.LeakyReLU(settings.slope))
        else:
            self.squeeze = nn.Identity()
            heads = [CONV[dims](last, latent, 1) for _ in range(widths)]
            self.widen = CONV[dims](latent, last, 1)
        self.heads = nn.ModuleList(heads)
        self.decoder = residual_decoder(settings) if residual else decoder(settings)

    def encode(self, batch: Float[Tensor, "n 1 *size"]) -> tuple[Tensor, Tensor | None]:
        """The code, or its mean and log variance."""
        trunk = self.squeeze(self.encoder(batch))
        mean, *rest = (head(trunk) for head in self.heads)
        return mean, rest[0] if rest else None

    def decode(self, code: Tensor) -> Float[Tensor, "n 1 *size"]:
        """The image of a code."""
        image: Tensor = self.decoder(self.widen(code))
        return image

    def reconstruct(self, batch: Float[Tensor, "n 1 *size"]) -> Float[Tensor, "n 1 *size"]:
        """Encode and decode the mean of the code."""
        return self.decode(self.encode(batch)[0])

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> AutoencoderOutput:
        """Encode and decode; in training a sample of the code."""
        mean, log_variance = self.encode(batch)
        if log_variance is None:
            return AutoencoderOutput(self.decode(mean))
        drawn = sample(mean, log_variance) if self.training else mean
        return AutoencoderOutput(self.decode(drawn), mean, log_variance)


def sample(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A draw from N(mean, variance) that gradients pass through."""
    return mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)


class Coordinates(nn.Module):
    """CoordConv: adds a channel per axis that runs from -1 to 1 (0 on an axis of length one)."""

    def forward(self, batch: Float[Tensor, "n c *size"]) -> Float[Tensor, "n d *size"]:
        """The batch with its position channels."""
        shape = batch.shape[2:]
        lines = [torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in shape]
        axes = torch.stack(torch.meshgrid(*lines, indexing="ij")).to(batch)
        return torch.cat([batch, axes.expand(len(batch), -1, *shape)], dim=1)


def encoder(settings: Trunk, first_norm: bool = True) -> nn.Sequential:
    """Convolutions of stride 2, each with LeakyReLU and, the first only with `first_norm`, normalisation."""
    layers: list[nn.Module] = []
    side, padding = settings.size, (settings.kernel - 1) // 2
    for number, (before, after) in enumerate(pairwise([1, *settings.channels])):
        side //= 2
        plain = settings if number or first_norm else settings.model_copy(update={"norm": "none"})
        conv = CONV[settings.dims](
            _input_channels(before, settings), after, settings.kernel, 2, padding, bias=settings.bias
        )
        layers += [*_coordinates(settings), conv, *_after(after, side, plain)]
    return nn.Sequential(*layers)


def decoder(settings: Trunk, outputs: int = 1) -> nn.Sequential:
    """Transposed convolutions of stride 2, from a map like the encoder's output to images (`decoder_end`)."""
    channels, dims, kernel = settings.channels, settings.dims, settings.kernel
    side = settings.size // 2 ** len(channels)
    mirrored = settings.decoder_end == "up"
    halved = [max(channels[0], channels[-1] // 2**step) for step in range(len(channels))]
    widths = [*channels[-2::-1], outputs] if mirrored else halved
    layers: list[nn.Module] = [] if mirrored else [*_norm(channels[-1], side, settings), nn.ReLU()]
    for number, (before, after) in enumerate(pairwise([channels[-1], *widths])):
        side *= 2
        up = UP[dims](
            _input_channels(before, settings),
            after,
            kernel,
            2,
            (kernel - 1) // 2,
            output_padding=kernel % 2,
            bias=settings.bias,
        )
        ends = mirrored and number == len(widths) - 1
        layers += [*_coordinates(settings), up, *([] if ends else _after(after, side, settings))]
    if not mirrored:
        layers.append(CONV[dims](widths[-1], outputs, 1))
    if settings.output == "sigmoid":
        layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def _input_channels(channels: int, settings: Trunk) -> int:
    return channels + settings.dims * settings.coord_conv


def _coordinates(settings: Trunk) -> list[nn.Module]:
    return [Coordinates()] if settings.coord_conv else []


def _after(channels: int, side: int, settings: Trunk) -> list[nn.Module]:
    drop: list[nn.Module] = [nn.Dropout(settings.dropout)] if settings.dropout else []
    return [*_norm(channels, side, settings), nn.LeakyReLU(settings.slope), *drop]


def _norm(channels: int, side: int, settings: Trunk) -> list[nn.Module]:
    if settings.norm == "batch":
        return [BATCH_NORM[settings.dims](channels)]
    return [nn.LayerNorm([channels, *[side] * settings.dims])] if settings.norm == "layer" else []
