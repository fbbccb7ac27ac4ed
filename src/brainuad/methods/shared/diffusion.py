"""What diffusion models share: the network, the steps from scan to noise and back, and reproducible noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from monai.networks.schedulers.ddpm import DDPMScheduler
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from brainuad.config.diffusion import DenoisingUNet, Diffusion, DiffusionSettings, Scaled
from brainuad.errors import InputError
from brainuad.images.seeds import rng_for
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.noise import Draws, draw_noise
from brainuad.methods.shared.reconstruction import ReconstructionMethod
from brainuad.methods.shared.residual import Accumulator, Rescaling, Residual
from brainuad.methods.shared.steady import SteadyObjective

NOISE_SEED = "noise_seed"
"""Name in the bundle of what the noise of inference is drawn from."""
SCHEDULES = {"linear": "linear_beta", "cosine": "cosine"}
"""MONAI's names."""


class Denoiser(nn.Module):
    """MONAI's U-Net. `features`: length of a vector that is added to the embedding of the time step; 0 for none."""

    def __init__(self, settings: DenoisingUNet, features: int = 0):
        super().__init__()
        self.fold, channels = settings.fold, settings.channels
        lowest = settings.sides()[-1]
        attends = [side in settings.attention_sides for side in settings.sides()]
        self.unet = DiffusionModelUNet(
            spatial_dims=2,
            in_channels=self.fold**2,
            out_channels=self.fold**2,
            num_res_blocks=settings.res_blocks,
            channels=channels,
            attention_levels=attends,
            norm_num_groups=settings.groups,
            resblock_updown=True,
            num_head_channels=[
                settings.head_channels if attention or side == lowest else count
                for attention, side, count in zip(attends, settings.sides(), channels, strict=True)
            ],
            num_class_embeds=1 if features else None,
        )
        if features:  # MONAI has a table of classes here
            width = 4 * channels[0]
            embedding = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))
            self.unet.class_embedding = embedding

    def forward(
        self,
        batch: Float[Tensor, "n 1 size size"],
        times: Float[Tensor, " n"],
        features: Float[Tensor, "n d"] | None = None,
    ) -> Float[Tensor, "n 1 size size"]:
        """What the network predicts of noisy slices at these time steps."""
        output: Tensor = self.unet(pixel_unshuffle(batch, self.fold), timesteps=times, class_labels=features)
        return pixel_shuffle(output, self.fold)


class Chain:
    """The steps from scan to noise and back, by MONAI's schedules. Time steps count from 0."""

    def __init__(self, settings: Diffusion):
        self.steps = settings.steps
        with torch.device("cpu"):  # MONAI reads numbers while it computes the schedule
            self.scheduler = DDPMScheduler(settings.steps, schedule=SCHEDULES[settings.schedule])

    def noisy(self, start: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Slices at time steps, one each."""
        noisy: Tensor = self.scheduler.add_noise(start, noise, times)
        return noisy

    def kept(self, time: int) -> float:
        """Share of the scan's variance that is left at a time step; 1 before the first."""
        return float(self.scheduler.alphas_cumprod[time]) if time >= 0 else 1.0

    def start_from_noise(self, noisy: Tensor, noise: Tensor, time: int) -> Tensor:
        """The scan, given the noise that it holds."""
        kept = self.kept(time)
        return (noisy - (1 - kept) ** 0.5 * noise) / kept**0.5

    def back(self, noisy: Tensor, start: Tensor, time: int, earlier: int, noise: Tensor) -> Tensor:
        """A sample at an earlier time step, given the noisy slices and the estimate of their start.

        Between neighbouring steps this is the step of Ho et al. 2020 with their larger variance. An `earlier` of -1
        gives the mean, which is the start.
        """
        kept, before = self.kept(time), self.kept(earlier)
        share = kept / before
        mean = (before**0.5 * (1 - share) * start + share**0.5 * (1 - before) * noisy) / (1 - kept)
        return mean + (1 - share) ** 0.5 * noise if earlier >= 0 else mean


def to_unit(batch: Tensor, scale: Scaled) -> Tensor:
    """Intensities as the network sees them: 0 becomes -1, `brightest` 1."""
    return 2 / scale.brightest * batch - 1


def from_unit(batch: Tensor, scale: Scaled) -> Tensor:
    """The inverse of `to_unit`."""
    return (batch + 1) * scale.brightest / 2


def spread(count: int, wanted: int | None) -> list[int]:
    """Indices of `wanted` of `count` items, evenly spread; of all of them for None."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()


class DiffusionObjective(SteadyObjective):
    """Learns to remove noise."""

    def __init__(self, network: nn.Module, settings: DiffusionSettings, trained: Sequence[str] = ()):
        super().__init__(network, settings.train, trained)
        self.noise, self.scale = settings.noise, settings.diffusion

    def shares(self, batch: Tensor) -> Float[Tensor, " n"]:
        """A number from 0 to 1 for the time step of each slice."""
        return torch.rand(len(batch), device=batch.device)

    def draw(self, batch: Tensor) -> Float[Tensor, "n 1 size size"]:
        """Noise for a batch."""
        return draw_noise(self.noise, Draws(batch.device), len(batch), batch.shape[-1])


class NoisyMethod(ReconstructionMethod):
    """Adds noise at test time.

    The noise of a slice is drawn from the training's seed and the slice's level: a scan has the same map in whatever
    order scans come, and all scans meet the same noise, so that what it leaves behind is part of the mean residual.
    """

    def __init__(self, settings: DiffusionSettings):
        self.scale: Scaled = settings.diffusion
        self.size, self.noise_settings = settings.network.size, settings.noise
        super().__init__(settings)

    def initialise(self, seed: int) -> None:
        """Fresh weights, and the seed of the noise."""
        self.noise_seed = seed
        super().initialise(seed)

    def draws(self, levels: np.ndarray) -> list[Draws]:
        """Random numbers for each level."""
        seeds = [int(rng_for(self.noise_seed, "noise", str(int(level))).integers(2**62)) for level in levels]
        return [Draws(self.device, seed) for seed in seeds]

    def draw(self, draws: Sequence[Draws]) -> Float[Tensor, "n 1 size size"]:
        """Noise for each slice by its own draws."""
        return torch.cat([draw_noise(self.noise_settings, each, 1, self.size) for each in draws])

    def add_residuals(self, scans: TrainingScans, gathered: Mapping[Residual, Accumulator | Rescaling]) -> None:
        """Of as many scans as `statistics_scans` says."""
        for i in spread(len(scans.brains), self.scale.statistics_scans):
            super().add_residuals(TrainingScans([scans.images[i]], [scans.brains[i]], scans.spacing), gathered)

    def state(self) -> dict[str, np.ndarray]:
        """Weights, residual statistics and the seed of the noise."""
        return super().state() | {NOISE_SEED: np.array([self.noise_seed], np.int64)}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        if NOISE_SEED not in state:
            raise InputError(f"the bundle lacks {NOISE_SEED}", do="train the model again")
        self.noise_seed = int(state[NOISE_SEED].item())
        super().load(state)


class DiffusionMethod(NoisyMethod):
    """A reconstruction by removing noise that was added."""

    def reconstruct_at(self, batch: Tensor, position: np.ndarray) -> Tensor:
        """Add noise to slices at these levels and remove it."""
        start = to_unit(batch, self.scale)
        return from_unit(self.denoised(start, self.draws(position)), self.scale)

    @abstractmethod
    def denoised(self, start: Float[Tensor, "n 1 size size"], draws: Sequence[Draws]) -> Tensor:
        """Slices, from -1 to 1, that had noise of these draws added and removed."""


def as_times(time: float, batch: Tensor) -> Tensor:
    """One time step for all slices of a batch."""
    return torch.full((len(batch),), time, device=batch.device)
