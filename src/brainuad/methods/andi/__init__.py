"""Aggregated normative diffusion: deviations of single denoising steps, aggregated over time steps.

Source: Frotscher et al. 2023, and their later code (docs/methods/diffusion.md).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from brainuad.config.diffusion import AddedNoise, DiffusionSettings, Scaled, check_noise, denoiser_text, noise_text
from brainuad.config.measured import MeasureMap
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Train
from brainuad.config.network_text import examples_text, sees, training_text
from brainuad.config.section import Section
from brainuad.config.told import Told


class ContinuousDiffusion(Scaled):
    """A cosine schedule in continuous time, with more noise for larger slices."""

    log_snr: float = Field(15.0, gt=0)
    """The logarithm of the signal-to-noise ratio falls from this to its negative, before it is shifted."""
    reference: int = Field(56, ge=1)
    """Side of a slice in pixels that would be dissolved without a shift; of a larger one the ratio is lower by the
    square of the quotient of sides."""


class Aggregation(Section):
    """Time steps whose deviations are aggregated."""

    first: float = Field(0.125, gt=0, le=1)
    """The noisiest one, as a share of the whole time."""
    last: float = Field(0.026, gt=0, le=1)
    """The least noisy one."""
    passes: int = Field(100, ge=1)
    """Time steps, spread evenly from `first` to `last`; each is one pass of the network."""


class AndiMap(MeasureMap):
    """How the deviations of a slice from its estimates become an anomaly map."""

    ABSOLUTE_MEASURE: ClassVar[str] = (
        "the geometric mean over the time steps of the absolute difference of slice and estimate"
    )
    SIGNED_MEASURE: ClassVar[str] = "the mean over the time steps of the signed difference of slice and estimate"


class Settings(DiffusionSettings):
    """Deviations of single denoising steps from scans, aggregated over time steps."""

    family: Literal["andi"]
    diffusion: ContinuousDiffusion = ContinuousDiffusion()
    noise: AddedNoise = AddedNoise(kind="pyramid")
    """Noise of the training; at test time it is Gaussian."""
    aggregation: Aggregation = Aggregation()
    train: Train = Train(steps=50_000, batch_size=128, lr=1e-4)
    map: AndiMap = AndiMap()

    @model_validator(mode="after")
    def _falling(self) -> Settings:
        check_noise(self.noise)
        if self.aggregation.first < self.aggregation.last:
            raise ValueError("aggregation.first must not be below aggregation.last")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network, diffusion, aggregation = told.network, told.diffusion, told.aggregation
        schedule = f"The signal-to-noise ratio follows a cosine schedule (logarithm {diffusion.log_snr:g} to "
        schedule += f"{-self.diffusion.log_snr:g}), shifted for slices larger than {diffusion.reference} pixels."
        learns = f"The network predicts the velocity; its loss is the mean squared error of {noise_text(told.noise)}."
        steps = (
            f"At {aggregation.passes} time steps from {aggregation.first:g} to {aggregation.last:g} of the whole time "
        )
        steps += "the scan was estimated from a copy with Gaussian noise, by one pass of the network each; intensities "
        steps += f"up to {diffusion.brightest:g} are what it can predict."
        return [
            f"aggregated normative diffusion [@frotscher2023] {sees(network)}",
            denoiser_text(network),
            schedule,
            learns,
            steps,
            *training_text(told.train, "It", "slice"),
            *examples_text(told.train),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.andi.method import AndiMethod

        return AndiMethod
