"""Patched diffusion: one patch of a slice at a time is dissolved and estimated from the rest.

Source: Behrendt et al. 2023, and their code (docs/methods/diffusion.md).
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


class Patches(Section):
    """Squares that cover the slice side by side; one at a time has noise."""

    side: int = Field(48, ge=1)
    """Side in pixels; the slice is a multiple of it."""
    time: int = Field(500, ge=1)
    """Steps of noise at test time."""


class Settings(DiffusionSettings):
    """Denoising diffusion of one patch at a time, which is estimated in one pass from the rest of the slice."""

    family: Literal["pddpm"]
    diffusion: Diffusion = Diffusion(schedule="cosine")
    noise: AddedNoise = AddedNoise(kind="simplex")
    patches: Patches = Patches()
    train: Train = Train(epochs=1600, batch_size=32, lr=1e-4)

    @model_validator(mode="after")
    def _whole_patches(self) -> Settings:
        check_noise(self.noise)
        if self.network.size % self.patches.side:
            raise ValueError(f"network.size {self.network.size} must be a multiple of patches.side {self.patches.side}")
        if self.patches.time > self.diffusion.steps:
            raise ValueError("patches.time must not be above diffusion.steps")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network, diffusion, patches = told.network, told.diffusion, told.patches
        learns = f"{noise_text(told.noise)[0].upper()}{noise_text(told.noise)[1:]} of up to {diffusion.steps} steps "
        learns += (
            f"({diffusion.schedule} schedule) was added to one patch of {patches.side} x {patches.side} pixels, and "
        )
        learns += "the network predicts the slice; the loss is the mean absolute difference inside the patch."
        test = f"At test time each patch had {patches.time} steps of noise and was estimated in one pass; the patches "
        test += f"together are the reconstruction. Intensities up to {diffusion.brightest:g} are what it can predict."
        return [
            f"a patched denoising diffusion model [@behrendt2023] {sees(network)}",
            denoiser_text(network),
            learns,
            test,
            *training_text(told.train, "It", "slice"),
            *examples_text(told.train),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.pddpm.method import PatchedDiffusionMethod

        return PatchedDiffusionMethod
