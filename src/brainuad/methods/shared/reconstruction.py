"""Methods that reconstruct scans as if they were healthy, slice by slice or whole, and map the residual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from brainuad.config.network import NetworkSettings, TrainedSettings
from brainuad.methods.base import Brain, Image, Sign, TrainingScans
from brainuad.methods.shared.neural import Examples, NeuralMethod
from brainuad.methods.shared.residual import Accumulator, Rescaling, Residual, Statistics, accumulators
from brainuad.methods.shared.residual_maps import ResidualMaps
from brainuad.methods.shared.slices import SliceView
from brainuad.methods.shared.volumes import VolumeView


class View(Protocol):
    """How a network sees scans: as slices or volumes of its own size."""

    def examples(self, scans: TrainingScans) -> Examples:
        """The examples to train or validate on."""

    def inputs(self, image: Image, brain: Brain) -> Iterator[tuple[Any, Tensor]]:
        """The scan as inputs of the network, (n, 1, *size), each with its position for `insert`."""

    def insert(self, output: Tensor, position: Any, image: Image) -> None:
        """Write an output of the network, (n, 1, *size), into a scan at the position of its input."""

    def insert_difference(self, difference: Tensor, position: Any, image: Image) -> None:
        """Write a difference of two inputs or outputs into a scan, in units of its intensity."""


def view_of(settings: TrainedSettings) -> View:
    """Slices or volumes of the size of the `network` section."""
    assert isinstance(settings, NetworkSettings), "other families bring a view of their own"
    grid = settings.network
    if grid.dims == 3:
        return VolumeView(grid.size, grid.fit)
    return SliceView(grid.size, settings.train.min_brain_share, grid.fit)


class ReconstructionMethod(NeuralMethod):
    """A network that reconstructs slices or volumes. Maps are residuals on the scan's grid, by the `map` section."""

    def __init__(self, settings: TrainedSettings, view: View | None = None):
        self.name, self.train = settings.family, settings.train
        self.residuals = ResidualMaps(settings.family, settings.map)
        self.view = view or view_of(settings)
        self.crossfit: Mapping[Residual, Statistics] = {}
        self.initialise(seed=0)

    def reconstruct_batch(self, batch: Tensor) -> Tensor:
        """The network's reconstructions of slices or volumes, (n, 1, *size), at test time."""
        reconstruction: Tensor = self.network(batch).reconstruction
        return reconstruction

    def reconstruct_at(self, batch: Tensor, position: Any) -> Tensor:  # noqa: ARG002
        """The same where it depends on the position in the scan, as `View.inputs` gives it."""
        return self.reconstruct_batch(batch)

    def examples(self, scans: TrainingScans) -> Examples:
        """Slices with enough brain, or whole scans."""
        return self.view.examples(scans)

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:
        """Mean and sd of the training residuals, signed and absolute; and of held-out ones, if there are such scans."""
        self.prepare(held_out)
        gathered = accumulators(training.images[0].shape)
        self.add_own_residuals(training, gathered)
        own = {residual_type: residuals.result() for residual_type, residuals in gathered.items()}
        self.residuals.learn(own, self.crossfit)
        if held_out is not None:
            scales = self.residuals.rescalings(training.spacing)
            self.add_residuals(held_out, scales)
            self.residuals.learn_held_out(scales)

    def add_residuals(self, scans: TrainingScans, gathered: Mapping[Residual, Accumulator | Rescaling]) -> None:
        for image, brain in zip(scans.images, scans.brains, strict=True):
            residual = image - self.reconstruct(image, brain)
            gathered["signed"].add(residual, brain)
            gathered["absolute"].add(np.abs(residual), brain)

    def add_own_residuals(self, training: TrainingScans, gathered: Mapping[Residual, Accumulator]) -> None:
        """The same of the scans that the method was trained on."""
        self.add_residuals(training, gathered)

    def reconstruct(self, image: Image, brain: Brain) -> Image:
        """The reconstruction on the scan's grid: the scan where the network does not see it, 0 outside the brain."""
        return self._reconstruct(image, brain)[0]

    @torch.no_grad()
    def _reconstruct(self, image: Image, brain: Brain) -> tuple[Image, Image]:
        """The reconstruction, and the residual at the network's own resolution by the settings of the map."""
        self.network.eval()
        reconstruction, residual = np.array(image, dtype=np.float32), np.zeros(image.shape, dtype=np.float32)
        for position, batch in self.view.inputs(image, brain):
            seen = batch.to(self.device)
            output = self.reconstruct_at(seen, position)
            self.view.insert(output, position, reconstruction)
            if self.residuals.settings.at_network():
                difference = seen - output
                absolute = self.residuals.settings.residual == "absolute"
                self.view.insert_difference(difference.abs() if absolute else difference, position, residual)
        reconstruction[~brain] = residual[~brain] = 0
        return reconstruction, residual

    def predict(
        self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> tuple[Image, Image | None]:
        """Map and reconstruction; the network runs once."""
        reconstruction, residual = self._reconstruct(image, brain)
        if self.residuals.settings.at_network():
            return self.residuals.finished(residual, brain, spacing, sign), reconstruction
        return self.residual_map(image, reconstruction, brain, spacing, sign), reconstruction

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """In units of intensity, or of the healthy residual's sd where it is standardised."""
        return self.predict(image, brain, spacing, sign)[0]

    def residual_map(
        self, image: Image, reconstruction: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> Image:
        """Residual on the scan's grid, standardised, smoothed and signed as the settings say. Needs no network."""
        residual = np.where(brain, image - reconstruction, 0).astype(np.float32)
        return self.residuals.of_residual(residual, brain, spacing, sign)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and residual statistics."""
        return self.weights() | self.residuals.state()

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.load_weights(state)
        self.residuals.load(state)
