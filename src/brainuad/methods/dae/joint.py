"""The denoising U-Net on several sequences as channels: the noise in each becomes a map, and these are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brainuad.methods.base import Brain, Image, Sign, TrainingScans
from brainuad.methods.dae.method import DenoisingMethod
from brainuad.methods.shared.residual import Accumulator, Rescaling, Residual, accumulators, signed
from brainuad.methods.shared.residual_maps import ResidualMaps
from brainuad.methods.shared.sequences import FusedMaps, MakeMaps, Sessions, Wanted, lacking, one_missing, present

if TYPE_CHECKING:
    from brainuad.methods.dae import Settings


class JointDenoising(DenoisingMethod):
    """One U-Net for sessions (x, y, z, c), which finds the noise of each sequence in view of all."""

    def __init__(self, settings: Settings, sequences: Sequence[str], signs: Mapping[str, Sign]):
        super().__init__(settings, sequences)
        self.fused, self.names = FusedMaps(settings, sequences, signs), list(sequences)
        # what the network finds in a sequence depends on the others: maps by the one that is missing
        self.maps: dict[int | None, dict[str, ResidualMaps]] = {
            missing: {
                name: ResidualMaps(f"{settings.family} of {name}", settings.map)
                for number, name in enumerate(sequences)
                if number != missing
            }
            for missing in (None, *range(len(sequences)))
        }

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:
        """Statistics of the noise that is found in healthy scans, by sequence; then what their maps are like.

        Once in whole scans, and once in the same without each of the sequences.
        """
        for missing in self.maps:
            shown = lacking(training, missing)
            self._learn(missing, shown, None if held_out is None else lacking(held_out, missing))
            self.fused.learn(shown, self._from_scans(training.spacing, missing), missing)

    def _learn(self, missing: int | None, training: TrainingScans, held_out: TrainingScans | None) -> None:
        gathered = accumulators(training.images[0].shape)
        self.add_own_residuals(training, gathered)
        own = {residual_type: each.result() for residual_type, each in gathered.items()}
        numbered = [(self.names.index(name), maps) for name, maps in self.maps[missing].items()]
        for number, maps in numbered:
            maps.learn(
                {of: each.of_sequence(number) for of, each in own.items()},
                {of: each.of_sequence(number) for of, each in self.crossfit.items()},  # of whole scans
            )
        if held_out is not None:
            scales = [maps.rescalings(training.spacing) for _, maps in numbered]
            for image, brain in zip(held_out.images, held_out.brains, strict=True):
                noise = self.found_noise(image, brain)
                for (number, _), scale in zip(numbered, scales, strict=True):
                    scale["signed"].add(noise[..., number], brain)
                    scale["absolute"].add(np.abs(noise[..., number]), brain)
            for (_, maps), scale in zip(numbered, scales, strict=True):
                maps.learn_held_out(scale)

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

        there = present(image, brain)
        missing = one_missing(there, len(self.names))

        def make(_: Sessions, brain: Brain, wanted: Wanted) -> list[Image]:
            return self._of_noise(noise, brain, spacing, wanted, missing)

        return self.fused.map(image, brain, sign, make), reconstruction if 0 in there else None

    def _reconstruct(self, image: Sessions, brain: Brain) -> tuple[Image, Sessions]:
        noise = self.found_noise(image, brain)
        return np.where(brain, image[..., 0] - noise[..., 0], 0).astype(np.float32), noise

    def _from_scans(self, spacing: tuple[float, float, float], missing: int | None) -> MakeMaps:
        """From training scans."""

        def make(image: Sessions, brain: Brain, wanted: Wanted) -> list[Image]:
            return self._of_noise(self.found_noise(image, brain, left_out=True), brain, spacing, wanted, missing)

        return make

    def _of_noise(
        self,
        noise: Sessions,
        brain: Brain,
        spacing: tuple[float, float, float],
        wanted: Wanted,
        missing: int | None,
    ) -> list[Image]:
        maps, absolute = self.maps.get(missing, self.maps[None]), self.settings.map.residual == "absolute"
        bright = {
            number: maps[self.names[number]].of_residual(noise[..., number], brain, spacing, "bright")
            for number in {number for number, _ in wanted}
        }
        return [bright[number] if absolute else signed(bright[number], sign) for number, sign in wanted]

    def state(self) -> dict[str, np.ndarray]:
        """What the network has learnt and was shown, the noise of each sequence, and what its maps are like."""
        state = self.weights() | self.view.state() | self.fused.state()
        for missing, by_name in self.maps.items():
            for name, maps in by_name.items():
                state |= maps.state(self._prefix(missing, name))
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned; a model file of an earlier version knows whole scans alone."""
        self.load_weights(state)
        self.view.load(state)
        self.fused.load(state)
        self.maps = {missing: by_name for missing, by_name in self.maps.items() if missing in self.fused.healthy}
        for missing, by_name in self.maps.items():
            for name, maps in by_name.items():
                maps.load(state, self._prefix(missing, name))

    def _prefix(self, missing: int | None, name: str) -> str:
        return f"{name}." if missing is None else f"without_{self.names[missing]}.{name}."
