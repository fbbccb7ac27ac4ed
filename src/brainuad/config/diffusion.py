"""Settings that the diffusion models share, and sentences on them for the methods section."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainuad.config.network import Channels, Grid, NetworkSettings
from brainuad.config.section import Section
from brainuad.config.told import Told, listed

STRIDE = 32
"""Pixels of the slice for each pixel of a residual network's last map."""


class DenoisingUNet(Grid):
    """A U-Net with residual blocks and self-attention that knows the time step (MONAI's DiffusionModelUNet)."""

    dims: Literal[2] = 2
    """Axial slices, one by one."""
    channels: Channels = [128, 256, 256]
    """Channels of each level; the image halves between two levels."""
    res_blocks: Annotated[int, Field(ge=1)] | Channels = 2
    """Residual blocks of each level on the way down, one number or one for each level; there is one more on the way
    up."""
    attention_sides: list[int] = []
    """Levels with self-attention after each block, by the side of their maps in pixels. The middle always has it."""
    head_channels: int = Field(64, ge=1)
    """Channels of each attention head."""
    groups: int = Field(32, ge=1)
    """Groups of the group normalisation."""
    fold: int = Field(1, ge=1)
    """Squares of this side are folded into channels before the first layer, and unfolded after the last: 2 makes a step
    about four times faster."""

    def sides(self) -> list[int]:
        """Side of the maps of each level, in pixels."""
        return [self.size // self.fold // 2**level for level in range(len(self.channels))]

    @model_validator(mode="after")
    def _halves_evenly(self) -> DenoisingUNet:
        halved = self.fold * 2 ** (len(self.channels) - 1)
        if self.size % halved:
            raise ValueError(f"size {self.size} cannot be divided by {halved} (fold and levels); take a multiple")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> DenoisingUNet:
        if unknown := [side for side in self.attention_sides if side not in self.sides()]:
            raise ValueError(f"attention at {listed(list(map(str, unknown)))} pixels: the levels have {self.sides()}")
        if isinstance(self.res_blocks, list) and len(self.res_blocks) != len(self.channels):
            raise ValueError(f"res_blocks has {len(self.res_blocks)} numbers, channels {len(self.channels)}")
        for side, channels in zip(self.sides(), self.channels, strict=True):
            if channels % self.groups:
                raise ValueError(f"{channels} channels cannot be divided into {self.groups} groups; change groups")
            attends = side in self.attention_sides or side == self.sides()[-1]
            if attends and channels % self.head_channels:
                raise ValueError(f"{channels} channels are no multiple of head_channels {self.head_channels}")
        return self


class AddedNoise(Section):
    """What is added to scans."""

    kind: Literal["gaussian", "simplex", "pyramid"] = "gaussian"
    """`gaussian`: each pixel by itself. `simplex`: octaves of simplex noise, coarse to fine. `pyramid`: Gaussian noise
    at full size and at ever coarser sizes."""
    coarsest: float = Field(64, gt=0)
    """Of `simplex`: length of the coarsest structures in pixels; each further octave halves it."""
    octaves: int = Field(6, ge=1)
    """Of `simplex`: number of octaves."""
    persistence: float = Field(0.8, gt=0)
    """Of `simplex`: amplitude of an octave, as a share of that of the octave before."""
    discount: float = Field(0.9, gt=0)
    """Of `pyramid`: amplitude of a size, as a share of that of the finer size before."""


class Scaled(Section):
    """Intensities of the network, and how many residuals are counted."""

    brightest: float = Field(1.0, gt=0)
    """Intensity that is 1 for the network, where 0 is -1. What the network predicts ends there."""
    statistics_scans: int | None = Field(None, ge=2)
    """Training scans whose residuals are counted for `map.standardise`, spread evenly; `null`: all. Residuals cost one
    inference each."""


class Diffusion(Scaled):
    """How scans dissolve into noise, step by step."""

    steps: int = Field(1000, ge=2)
    """Steps from scan to noise."""
    schedule: Literal["linear", "cosine"] = "linear"
    """Noise of each step: variances that rise linearly from 0.0001 to 0.02, or the cosine schedule."""


class DiffusionSettings(NetworkSettings):
    """Settings of a family that removes noise from slices."""

    network: DenoisingUNet = DenoisingUNet()
    diffusion: Scaled = Diffusion()
    noise: AddedNoise = AddedNoise()


def denoiser_text(network: Told) -> str:
    """The network."""
    channels, blocks = (
        listed([str(n) for n in each]) if isinstance(each, list) else str(each)
        for each in (network.channels, network.res_blocks)
    )
    text = f"The network is MONAI's U-Net for diffusion [@cardoso2022] with {channels} channels and {blocks} residual "
    text += "blocks at its levels"
    sides = [f"{side} x {side}" for side in network.attention_sides]
    text += f", self-attention in the middle{' and at ' + listed(sides) + ' pixels' if sides else ''}"
    text += f" (heads of {network.head_channels} channels) and group normalisation in {network.groups} groups"
    fold = network.fold
    text += f"; squares of {fold} x {fold} pixels are channels of its input and output" if fold > 1 else ""
    return f"{text}."


def noise_text(noise: Told) -> str:
    """The noise, within a sentence."""
    if noise.kind == "simplex":
        octaves = f"{noise.octaves} octaves from {noise.coarsest:g} pixels down, persistence {noise.persistence:g}"
        return f"simplex noise ({octaves}, scaled to unit variance)"
    if noise.kind == "pyramid":
        return f"pyramid noise (discount {noise.discount:g}, scaled to unit variance)"
    return "Gaussian noise"


UNUSED_NOISE = {
    "gaussian": ("coarsest", "octaves", "persistence", "discount"),
    "simplex": ("discount",),
    "pyramid": ("coarsest", "octaves", "persistence"),
}
"""Settings of `noise` that a kind does not use."""


def check_noise(noise: AddedNoise) -> None:
    """Raise ValueError for settings that the kind of noise does not use."""
    fields = AddedNoise.model_fields
    in_vain = [name for name in UNUSED_NOISE[noise.kind] if getattr(noise, name) != fields[name].default]
    if in_vain:
        raise ValueError(f"noise.kind: {noise.kind} has no use for {', '.join(in_vain)}")
