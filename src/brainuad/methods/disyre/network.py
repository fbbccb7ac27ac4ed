"""The network of DISYRE and the steps that stand for severities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch import Tensor, nn

if TYPE_CHECKING:
    from brainuad.methods.disyre import Severity, SeverityNetwork


class Restorer(nn.Module):
    """MONAI's U-Net of diffusion models, on intensities in [0, 1]; itself it sees, and gives, [-1, 1]."""

    signal: Tensor

    def __init__(self, settings: SeverityNetwork, severity: Severity):
        super().__init__()
        sides = [settings.size // settings.fold // 2**level for level in range(len(settings.channels))]
        self.fold, self.unfold = nn.PixelUnshuffle(settings.fold), nn.PixelShuffle(settings.fold)
        self.unet = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=settings.fold**2,
            out_channels=settings.fold**2,
            channels=settings.channels,
            num_res_blocks=settings.res_blocks,
            attention_levels=[side in settings.attention_sides for side in sides],
            norm_num_groups=settings.groups,
            num_head_channels=settings.head_channels,
        )
        self.register_buffer("signal", shares_of_signal(severity), persistent=False)

    def forward(self, batch: Float[Tensor, "n 1 h w"], steps: Int[Tensor, "n"]) -> Float[Tensor, "n 1 h w"]:
        """The slices without corruptions of these severities."""
        restored: Tensor = self.unfold(self.unet(self.fold(2 * batch - 1), steps))
        return (restored + 1) / 2

    def step_of(self, severity: Float[Tensor, "n"]) -> Int[Tensor, "n"]:
        """The step whose share of signal is nearest to each severity."""
        return (self.signal - severity[:, None]).abs().argmin(1)


def shares_of_signal(severity: Severity) -> Float[Tensor, "steps"]:
    """Root of the share of variance that is signal after each step of a variance-preserving diffusion."""
    low, high = (rate / severity.steps for rate in severity.beta)
    return torch.cumprod(1 - torch.linspace(low, high, severity.steps), 0).sqrt()
