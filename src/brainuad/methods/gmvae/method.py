"""The method of the Gaussian mixture's autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from brainuad.errors import InputError
from brainuad.methods.base import TrainingScans
from brainuad.methods.gmvae.network import MixtureAutoencoder, SpatialMixtureAutoencoder
from brainuad.methods.gmvae.restoration import least_change, restore
from brainuad.methods.shared.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.gmvae import Settings

WEIGHT = "restoration_weight"


class GmVaeMethod(ReconstructionMethod):
    """At test time the mean of the code is decoded, or scans are restored."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.weight: float | None = None
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        settings = self.settings.network
        return MixtureAutoencoder(settings) if settings.bottleneck == "dense" else SpatialMixtureAutoencoder(settings)

    def objective(self) -> LightningModule:
        """The evidence lower bound, estimated with one sample of code and w."""
        from brainuad.methods.gmvae.objective import MixtureObjective

        return MixtureObjective(self.network, self.settings.loss, self.train)

    def energy(self, batch: Tensor) -> Tensor:
        """The negative bound of images at the means of code and w, summed over the batch."""
        from brainuad.methods.gmvae.bound import negative_bound

        return negative_bound(self.network, batch, self.settings.loss)["loss"] * len(batch)

    def prepare(self, held_out: TrainingScans | None) -> None:
        """Choose the weight of the total variation."""
        if (settings := self.settings.restoration) is None:
            return
        if len(settings.weights) > 1 and held_out is None:
            do = "give a healthy data set a split with validation above 0, or one number in restoration.weights"
            raise InputError("there are no healthy validation scans to choose restoration.weights on", do=do)
        slices = torch.empty(0, 1, 0, 0)
        if held_out is not None:
            examples = self.examples(held_out)
            chosen = np.linspace(0, len(examples) - 1, min(settings.slices, len(examples))).astype(int)
            slices = examples.fetch(chosen.tolist()).to(self.device)
        self.network.eval()
        self.weight = least_change(slices, self.energy, settings)

    def reconstruct_batch(self, batch: Tensor) -> Tensor:
        if (settings := self.settings.restoration) is None:
            return super().reconstruct_batch(batch)
        if self.weight is None:
            raise InputError("gmvae has no weight of the restoration yet", do="train it first")
        return restore(batch, self.energy, self.weight, settings)

    def state(self) -> dict[str, np.ndarray]:
        own = {} if self.weight is None else {WEIGHT: np.array([self.weight])}
        return super().state() | own

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        super().load(state)
        self.weight = float(state[WEIGHT][0]) if WEIGHT in state else None

    def facts(self) -> dict[str, Any]:
        """The weight of the restoration, too."""
        return super().facts() | ({} if self.weight is None else {WEIGHT: self.weight})
