"""Methods that rebuild scans as if they were healthy, slice by slice or whole, and map what is left over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from brainuad.config.model import ResidualMap
from brainuad.config.network import Grid, Train
from brainuad.errors import InputError
from brainuad.images.smooth import smooth_inside
from brainuad.methods.base import Brain, Image, Sign, TrainingScans, check_finite
from brainuad.methods.neural import Examples, NeuralMethod
from brainuad.methods.residual import Accumulator, Statistics, signed, standardise
from brainuad.methods.slices import Slices
from brainuad.methods.volumes import Volumes


class View(Protocol):
    """How a network sees scans."""

    def examples(self, healthy: TrainingScans) -> Examples:
        """What it learns from."""

    def batches(self, image: Image, brain: Brain) -> Iterator[tuple[Any, Tensor]]:
        """A scan in parts, each with its place."""

    def place(self, found: Tensor, where: Any, image: Image) -> None:
        """Put a part into a scan."""


class ReconstructionMethod(NeuralMethod):
    """A network that rebuilds slices or volumes. Maps are residuals on the store's grid, by the `map` section."""

    def __init__(self, name: str, grid: Grid, train: Train, settings: ResidualMap):
        self.name, self.train, self.settings = name, train, settings
        self.view: View = Slices(grid.size, train.min_brain) if grid.dims == 2 else Volumes(grid.size)
        self.healthy: dict[str, Statistics] = {}
        self.initialise(seed=0)

    def rebuild(self, batch: Tensor) -> Tensor:
        """What the network makes of prepared slices or volumes, (n, 1, *size), at test time."""
        rebuilt: Tensor = self.network(batch).reconstruction
        return rebuilt

    def examples(self, healthy: TrainingScans) -> Examples:
        """Slices with enough brain, or whole scans."""
        return self.view.examples(healthy)

    def fit(self, training: TrainingScans) -> None:
        """Mean and sd of the training residuals, signed and absolute."""
        gathered = {kind: Accumulator(training.images[0].shape) for kind in ("signed", "absolute")}
        for image, brain in zip(training.images, training.brains, strict=True):
            left = image - self.reconstruct(image, brain)
            gathered["signed"].add(left, brain)
            gathered["absolute"].add(np.abs(left), brain)
        self.healthy = {kind: residuals.result() for kind, residuals in gathered.items()}

    @torch.no_grad()
    def reconstruct(self, image: Image, brain: Brain) -> Image:
        """The rebuilt scan on its own grid; 0 outside the brain. Slices without brain are not looked at."""
        self.network.eval()
        rebuilt = np.zeros(image.shape, dtype=np.float32)
        for where, batch in self.view.batches(image, brain):
            self.view.place(self.rebuild(batch.to(self.device)), where, rebuilt)
        rebuilt[~brain] = 0
        return rebuilt

    def predict(
        self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> tuple[Image, Image | None]:
        """Map and reconstruction, the network run once."""
        rebuilt = self.reconstruct(image, brain)
        return self.residual_map(image, rebuilt, brain, spacing, sign), rebuilt

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """In units of intensity, or of the healthy residual's sd where it is standardised."""
        return self.predict(image, brain, spacing, sign)[0]

    def residual_map(
        self, image: Image, rebuilt: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> Image:
        """Residual, standardised, smoothed, signed: each as the settings say. No network is needed."""
        kind = self.settings.residual
        left = np.where(brain, image - rebuilt, 0).astype(np.float32)
        left = np.abs(left) if kind == "absolute" else left
        if self.settings.standardise:
            if kind not in self.healthy:
                raise InputError(f"{self.name} has no training residuals yet", do="train it first")
            left = standardise(left, brain, self.healthy[kind], self.settings)
        smooth = smooth_inside(left, brain, self.settings.smooth_mm, spacing)
        return check_finite(smooth if kind == "absolute" else signed(smooth, sign), self.name)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and residual statistics."""
        state = self.weights()
        for kind, found in self.healthy.items():
            state |= found.state(f"residual_{kind}")
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Weights and residual statistics."""
        self.load_weights(state)
        kinds: tuple[Literal["signed", "absolute"], ...] = ("signed", "absolute")
        self.healthy = {kind: Statistics.load(state, f"residual_{kind}") for kind in kinds}
