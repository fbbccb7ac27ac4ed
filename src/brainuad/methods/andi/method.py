"""The method of aggregated normative diffusion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.diffusion import AddedNoise
from brainuad.methods.shared.diffusion import (
    Denoiser,
    DiffusionObjective,
    NoisyMethod,
    as_times,
    from_unit,
    to_unit,
)
from brainuad.methods.shared.measured import Measures, MeasuringMethod
from brainuad.methods.shared.noise import Draws

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.andi import ContinuousDiffusion, Settings
    from brainuad.methods.shared.objective import Terms

TIME_SCALE = 1000.0
"""The network sees the time from 0 to this, as it would the steps of a chain."""


class ShiftedCosine:
    """Amplitudes of scan and noise at a time from 0 to 1, by a cosine schedule that is shifted for larger slices.

    Source: Hoogeboom et al. 2023.
    """

    def __init__(self, settings: ContinuousDiffusion, size: int):
        self.low = math.atan(math.exp(-0.5 * settings.log_snr))
        self.high = math.atan(math.exp(0.5 * settings.log_snr))
        self.shift = 2 * math.log(settings.reference / size)

    def amplitudes(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Of the scan and of the noise; their squares add up to 1."""
        log_snr = -2 * torch.log(torch.tan(self.low + time * (self.high - self.low))) + self.shift
        return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


class VelocityObjective(DiffusionObjective):
    """The mean squared error of the noise that the predicted velocity stands for."""

    def __init__(self, network: nn.Module, settings: Settings):
        super().__init__(network, settings)
        self.schedule = ShiftedCosine(settings.diffusion, settings.network.size)

    def terms(self, batch: Float[Tensor, "n 1 size size"]) -> Terms:
        """The loss at a time of each slice."""
        times, noise = self.shares(batch), self.draw(batch)
        signal, sigma = (each[:, None, None, None] for each in self.schedule.amplitudes(times))
        noisy = signal * to_unit(batch, self.scale) + sigma * noise
        velocity = self.network(noisy, TIME_SCALE * times)
        return {"loss": (sigma * noisy + signal * velocity - noise).square().mean()}


class AndiMethod(NoisyMethod, MeasuringMethod):
    """Estimates each slice from noisy copies of it, one pass of the network each; deviations are aggregated.

    The reconstruction is the mean of the estimates. Source: Frotscher et al. 2023: their difference of the means of two
    steps backwards is, up to a factor of the time step, that of scan and estimate.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.schedule = ShiftedCosine(settings.diffusion, settings.network.size)
        super().__init__(settings)
        self.noise_settings = AddedNoise(kind="gaussian")

    def make_network(self) -> nn.Module:
        return Denoiser(self.settings.network)

    def objective(self) -> LightningModule:
        """The network learns to predict the velocity of a slice."""
        return VelocityObjective(self.network, self.settings)

    def estimates(self, start: Float[Tensor, "n 1 size size"], draws: Sequence[Draws]) -> Iterator[Tensor]:
        """The slices by each of the time steps, from -1 to 1."""
        aggregation = self.settings.aggregation
        for time in np.linspace(aggregation.first, aggregation.last, aggregation.passes).tolist():
            signal, sigma = self.schedule.amplitudes(torch.tensor(time))
            noisy = signal * start + sigma * self.draw(draws)
            velocity = self.network(noisy, as_times(TIME_SCALE * time, start))
            yield (signal * noisy - sigma * velocity).clamp(-1, 1)

    def measure(self, batch: Float[Tensor, "n 1 size size"]) -> Measures:
        """As if the slices were the lowest ones of a scan."""
        return self.measure_at(batch, np.arange(len(batch)))

    def measure_at(self, batch: Float[Tensor, "n 1 size size"], position: np.ndarray) -> Measures:
        """Mean estimate, mean deviation and geometric mean of absolute deviations, in units of intensity."""
        start = to_unit(batch, self.scale)
        total, logarithms = torch.zeros_like(start), torch.zeros_like(start)
        for estimate in self.estimates(start, self.draws(position)):
            total += estimate
            logarithms += (start - estimate).abs().log()
        passes = self.settings.aggregation.passes
        reconstruction = from_unit(total / passes, self.scale)
        aggregated = (logarithms / passes).exp() * self.scale.brightest / 2
        return Measures(reconstruction, batch - reconstruction, aggregated)
