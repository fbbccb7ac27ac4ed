"""The method of the denoising U-Net: the noise that it finds is the residual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from brainuad.methods.base import Brain, Image, TrainingScans
from brainuad.methods.dae.inputs import AtlasView, each_sequence
from brainuad.methods.shared.neural import Examples
from brainuad.methods.shared.reconstruction import ReconstructionMethod
from brainuad.methods.shared.residual import Accumulator, Residual
from brainuad.methods.shared.unet import UNet

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.dae import Settings


class DenoisingMethod(ReconstructionMethod):
    """One U-Net on slices, which may have several sequences as channels."""

    view: AtlasView

    def __init__(self, settings: Settings, sequences: Sequence[str] = ()):
        self.settings, self.channels = settings, max(1, len(sequences))
        super().__init__(settings, AtlasView(settings, sequences))

    def make_network(self) -> nn.Module:
        inputs = self.channels * (1 + len(self.settings.inputs))
        return UNet(self.settings.network, inputs=inputs, outputs=self.channels)

    def observe(self, training: TrainingScans) -> None:
        """Where brains are, and what they are like."""
        self.view.observe(training)

    def examples(self, scans: TrainingScans) -> Examples:
        return self.view.examples(scans)

    def objective(self) -> LightningModule:
        """Coarse noise, found again."""
        from brainuad.methods.dae.objective import DenoisingObjective

        spacing = self.view.spacing[0], self.view.spacing[1]
        return DenoisingObjective(self.network, self.settings, self.view.channels(), spacing)

    @torch.no_grad()
    def found_noise(self, image: Image, brain: Brain, left_out: bool = False) -> Image:
        """The noise that the network finds in a scan, of its shape.

        `left_out`: the scan is one of those that were observed.
        """
        self.network.eval()
        noise = np.zeros(image.shape, np.float32)
        for (box, levels), batch in self.view.inputs(image, brain, left_out):
            found = self.network(self.view.channels(box).seen(batch.to(self.device)))
            for number, part in enumerate(each_sequence(noise)):
                box.insert(found[:, number : number + 1], levels, part)
        noise[~brain] = 0
        return noise

    def _reconstruct(self, image: Image, brain: Brain) -> tuple[Image, Image]:
        noise = self.found_noise(image, brain)
        return np.where(brain, image - noise, 0).astype(np.float32), noise

    def add_own_residuals(self, training: TrainingScans, gathered: Mapping[Residual, Accumulator]) -> None:
        for image, brain in zip(training.images, training.brains, strict=True):
            noise = self.found_noise(image, brain, left_out=True)
            inside = brain if noise.ndim == brain.ndim else brain[..., None]
            gathered["signed"].add(noise, inside)
            gathered["absolute"].add(np.abs(noise), inside)

    def state(self) -> dict[str, np.ndarray]:
        """What the network has learnt, and what it was shown."""
        return super().state() | self.view.state()

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        super().load(state)
        self.view.load(state)
