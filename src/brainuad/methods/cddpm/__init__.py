"""Conditioned diffusion: what an encoder sees of the clean slice guides its estimate from a noisy copy.

Source: Behrendt et al. 2023b, and their code (docs/methods/diffusion.md).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from brainuad.config.diffusion import (
    STRIDE,
    AddedNoise,
    Diffusion,
    DiffusionSettings,
    check_noise,
    denoiser_text,
    noise_text,
)
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Optimisation, Train
from brainuad.config.network_text import examples_text, sees, training_text
from brainuad.config.section import Section
from brainuad.config.told import Told, listed


class Encoder(Section):
    """A residual network that turns a clean slice into a vector; it learns from masked slices first."""

    blocks: Literal["basic", "bottleneck"] = "bottleneck"
    """Two convolutions a block, or three with four times the channels after the last."""
    layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    """Blocks of each level; with bottlenecks the default is a ResNet-50."""
    width: int = Field(64, ge=1)
    """Channels of the first level; each further one doubles them."""
    features: int = Field(512, ge=1)
    """Length of the vector."""
    masked: float = Field(0.65, gt=0, lt=1)
    """Share of the squares of 32 x 32 pixels that are masked while it learns to restore them."""


class Settings(DiffusionSettings):
    """Denoising diffusion in one pass, guided by an encoder that sees the clean slice."""

    family: Literal["cddpm"]
    diffusion: Diffusion = Diffusion(schedule="cosine")
    noise: AddedNoise = AddedNoise(kind="simplex")
    encoder: Encoder = Encoder()
    times: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [250, 500, 750]
    """Steps of noise at test time; the mean of the estimates is the reconstruction."""
    encoder_train: Optimisation | None = Optimisation(epochs=1200, batch_size=32, lr=1e-4)
    """The encoder's training on masked slices, before that of the whole; `null`: none."""
    train: Train = Train(epochs=1200, batch_size=32, lr=1e-4)

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        check_noise(self.noise)
        if self.network.size % STRIDE or (self.network.size == STRIDE and self.encoder_train):
            raise ValueError(f"network.size must be a multiple of {STRIDE} pixels, twice that at least to mask slices")
        if max(self.times) > self.diffusion.steps:
            raise ValueError("times must not be above diffusion.steps")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network, diffusion, encoder = told.network, told.diffusion, told.encoder
        layers = listed([str(n) for n in encoder.layers])
        vector = f"A residual network ({encoder.blocks} blocks: {layers}; {encoder.width} channels at first) turns the "
        vector += f"clean slice into {encoder.features} numbers, which are added to the embedding of the time step."
        pretrained = []
        if told.encoder_train is not None:
            masked = (
                f"It first learnt to restore slices of which {100 * encoder.masked:g} % of the squares of {STRIDE} x "
            )
            pretrained = [f"{masked}{STRIDE} pixels were masked.", *training_text(told.encoder_train, "It", "slice")]
        learns = (
            f"With {noise_text(told.noise)} of up to {diffusion.steps} steps ({diffusion.schedule} schedule) added, "
        )
        learns += "the U-Net predicts the slice; the loss is the mean absolute difference."
        times = listed([str(time) for time in told.times])
        test = f"The reconstruction is the mean of estimates, by one pass each, after {times} steps of noise. "
        test += f"Intensities up to {diffusion.brightest:g} are what it can predict."
        return [
            f"a conditioned denoising diffusion model [@behrendt2023b] {sees(network)}",
            denoiser_text(network),
            vector,
            *pretrained,
            learns,
            test,
            *training_text(told.train, "The whole", "slice"),
            *examples_text(told.train),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.cddpm.method import ConditionedDiffusionMethod

        return ConditionedDiffusionMethod
