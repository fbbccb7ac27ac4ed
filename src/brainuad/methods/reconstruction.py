"""Methods that rebuild axial slices as if they were healthy, and map what is left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from brainuad.config.model import ResidualMap, Train
from brainuad.errors import InputError
from brainuad.images.smooth import smooth_inside
from brainuad.methods.base import Brain, Healthy, Image, Sign, check_finite
from brainuad.methods.neural import NeuralMethod
from brainuad.methods.residual import Accumulator, Statistics, signed, standardise
from brainuad.methods.slices import SliceExamples, axial, from_network, to_network

BATCH = 16
"""Slices reconstructed at once; larger ones leave the processor's cache."""


class SliceReconstruction(NeuralMethod):
    """A network on slices. Maps are residuals on the store's grid, by the settings of the `map` section."""

    kind: ClassVar = "slice"

    def __init__(self, name: str, size: int, train: Train, settings: ResidualMap):
        self.name, self.size, self.train, self.settings = name, size, train, settings
        self.healthy: dict[str, Statistics] = {}
        self.initialise(seed=0)

    def rebuild(self, batch: torch.Tensor) -> torch.Tensor:
        """What the network makes of prepared slices, (n, 1, size, size), at test time."""
        rebuilt: torch.Tensor = self.network(batch).reconstruction
        return rebuilt

    def examples(self, healthy: Healthy) -> SliceExamples:
        """Slices with enough brain."""
        return SliceExamples(healthy, self.size, self.train.min_brain)

    def fit(self, training: Healthy) -> None:
        """Mean and sd of the training residuals, signed and absolute."""
        gathered = {kind: Accumulator(training.images[0].shape) for kind in ("signed", "absolute")}
        for image, brain in zip(training.images, training.brains, strict=True):
            left = image - self.reconstruct(image, brain)
            gathered["signed"].add(left, brain)
            gathered["absolute"].add(np.abs(left), brain)
        self.healthy = {kind: residuals.result() for kind, residuals in gathered.items()}

    @torch.inference_mode()
    def reconstruct(self, image: Image, brain: Brain) -> Image:
        """The rebuilt scan on its own grid; 0 outside the brain. Slices without brain are not looked at."""
        self.network.eval()
        rebuilt = np.zeros(image.shape, dtype=np.float32)
        levels = np.flatnonzero(brain.any(axis=(0, 1)))
        for chunk in np.array_split(levels, range(BATCH, len(levels), BATCH)):
            if len(chunk):
                batch = to_network(axial(image, chunk), self.size).to(self.device)
                slices = from_network(self.rebuild(batch), image.shape[:2]).float().cpu().numpy()
                rebuilt[:, :, chunk] = np.moveaxis(slices, 0, 2)
        rebuilt[~brain] = 0
        return rebuilt

    def examine(
        self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign
    ) -> tuple[Image, Image | None]:
        """Map and reconstruction, the network run once."""
        rebuilt = self.reconstruct(image, brain)
        return self.residual_map(image, rebuilt, brain, spacing, sign), rebuilt

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """In units of intensity, or of the healthy residual's sd where it is standardised."""
        return self.examine(image, brain, spacing, sign)[0]

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
        self.healthy = {kind: Statistics.load(state, f"residual_{kind}") for kind in ("signed", "absolute")}
