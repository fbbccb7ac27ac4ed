"""Partial diffusion with simplex noise: slices are dissolved in part, and what comes back is healthy.

Source: Wyatt et al. 2022 (docs/methods/diffusion.md).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.diffusion import AddedNoise, Diffusion, DiffusionSettings, check_noise, denoiser_text, noise_text
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Train
from brainuad.config.network_text import examples_text, sees, training_text
from brainuad.config.section import Section
from brainuad.config.told import Told


class PartialDiffusion(Section):
    """How far a scan is dissolved, and how it is brought back."""

    start: int = Field(250, ge=1)
    """Steps of noise that are added."""
    passes: int | None = Field(None, ge=1)
    """Passes of the network on the way back, spread evenly over these steps; `null`: one for each step."""
    repeats: int = Field(1, ge=1)
    """Reconstructions with noise of their own; their mean counts."""


class Settings(DiffusionSettings):
    """Denoising diffusion with simplex noise, from a partly dissolved scan."""

    family: Literal["anoddpm"]
    diffusion: Diffusion = Diffusion()
    noise: AddedNoise = AddedNoise(kind="simplex")
    train_below: int = Field(800, ge=1)
    """The network learns the steps from scan to noise up to this one."""
    partial: PartialDiffusion = PartialDiffusion()
    train: Train = Train(epochs=3000, batch_size=1, lr=1e-4)

    @model_validator(mode="after")
    def _steps_that_exist(self) -> Settings:
        check_noise(self.noise)
        if not self.partial.start <= self.train_below <= self.diffusion.steps:
            raise ValueError("partial.start, train_below and diffusion.steps must not fall in this order")
        if self.partial.passes is not None and self.partial.passes > self.partial.start:
            raise ValueError("partial.passes must not be above partial.start, the number of steps")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network, diffusion, partial = told.network, told.diffusion, told.partial
        noise = noise_text(told.noise)
        back = "step by step" if partial.passes is None else f"in {partial.passes} passes of the network"
        how = f"Slices were dissolved by {partial.start} of {diffusion.steps} steps with {noise} ({diffusion.schedule} "
        how += f"schedule) and brought back {back}"
        how += f"; the mean of {partial.repeats} such reconstructions counts" if partial.repeats > 1 else ""
        learns = "The network predicts the noise, with the mean squared error as its loss, at steps up to "
        return [
            f"a denoising diffusion model [@ho2020] with partial diffusion [@wyatt2022] {sees(network)}",
            denoiser_text(network),
            f"{learns}{told.train_below}.",
            f"{how}.",
            f"Intensities up to {diffusion.brightest:g} are what it can predict.",
            *training_text(told.train, "It", "slice"),
            *examples_text(told.train),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.anoddpm.method import PartialDiffusionMethod

        return PartialDiffusionMethod
