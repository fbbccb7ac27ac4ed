"""The denoising U-Net on several sequences as channels: the noise in each becomes a map, and these are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brainuad.methods.base import Brain, Image, Sign, TrainingScans
from brainuad.methods.dae.method import DenoisingMethod
from brainuad.methods.shared.residual import Accumulator, Rescaling, Residual, accumulators
from brainuad.methods.shared.residual_maps import ResidualMaps
from brainuad.methods.shared.sequences import FusedMaps, MakeMaps, Sessions, Wanted, present

if TYPE_CHECKING:
    from brainuad.methods.dae import Settings


class JointDenoising(DenoisingMethod):
    """One U-Net for sessions (x, y, z, c), which finds the noise of each sequence in view of all."""

    def __init__(self, settings: Settings, sequences: Sequence[str], signs: Mapping[str, Sign]):
        super().__init__(settings, sequences)
        self.fused = FusedMaps(settings, sequences, signs)
        self.maps = {name: ResidualMaps(f"{settings.family} of {name}", settings.map) for name in sequences}

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:
        """Statistics of the noise that is found in healthy scans, by sequence; then what their maps are like."""
        gathered = accumulators(training.images[0].shape)
        self.add_own_residuals(training, gathered)
        own = {residual_type: each.result() for residual_type, each in gathered.items()}
        for number, maps in enumerate(self.maps.values()):
            maps.learn(
                {of: each.of_sequence(number) for of, each in own.items()},
                {of: each.of_sequence(number) for of, each in self.crossfit.items()},
            )
        if held_out is not None:
            scales = {name: maps.rescalings(training.spacing) for name, maps in self.maps.items()}
            for image, brain in zip(held_out.images, held_out.brains, strict=True):
                noise = self.found_noise(image, brain)
                for number, scale in enumerate(scales.values()):
                    scale["signed"].add(noise[..., number], brain)
                    scale["absolute"].add(np.abs(noise[..., number]), brain)
            for name, maps in self.maps.items():
                maps.learn_held_out(scales[name])
        self.fused.learn(training, self._from_scans(training.spacing))

    def add_residuals(self, scans: TrainingScans, gathered: Mapping[Residual, Accumulator | Rescaling]) -> None:
        for image, brain in zip(scans.images, scans.brains, strict=True):
            noise = self.found_noise(image, brain)
            gathered["signed"].add(noise, brain[..., None])
            gathered["absolute"].add(np.abs(noise), brain[..., None])

    def predict(
        self, image: Sessions, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> tuple[Image, Image | None]:
        """The fused map, and the reconstruction of the first sequence, if that is there."""
        reconstruction, noise = self._reconstruct(image, brain)

        def make(_: Sessions, brain: Brain, wanted: Wanted) -> list[Image]:
            return self._of_noise(noise, brain, spacing, wanted)

        return self.fused.map(image, brain, sign, make), reconstruction if 0 in present(image, brain) else None

    def _reconstruct(self, image: Sessions, brain: Brain) -> tuple[Image, Sessions]:
        noise = self.found_noise(image, brain)
        return np.where(brain, image[..., 0] - noise[..., 0], 0).astype(np.float32), noise

    def _from_scans(self, spacing: tuple[float, float, float]) -> MakeMaps:
        """From training scans."""

        def make(image: Sessions, brain: Brain, wanted: Wanted) -> list[Image]:
            return self._of_noise(self.found_noise(image, brain, left_out=True), brain, spacing, wanted)

        return make

    def _of_noise(
        self, noise: Sessions, brain: Brain, spacing: tuple[float, float, float], wanted: Wanted
    ) -> list[Image]:
        maps = list(self.maps.values())
        return [maps[number].of_residual(noise[..., number], brain, spacing, sign) for number, sign in wanted]

    def state(self) -> dict[str, np.ndarray]:
        """What the network has learnt and was shown, the noise of each sequence, and what its maps are like."""
        state = self.weights() | self.view.state() | self.fused.state()
        for name, maps in self.maps.items():
            state |= maps.state(f"{name}.")
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.load_weights(state)
        self.view.load(state)
        self.fused.load(state)
        for name, maps in self.maps.items():
            maps.load(state, f"{name}.")
