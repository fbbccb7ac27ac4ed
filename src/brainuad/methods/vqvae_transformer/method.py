"""The method of a VQ-VAE with a transformer over its codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.errors import InputError
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.neural import Stage
from brainuad.methods.shared.reconstruction import ReconstructionMethod
from brainuad.methods.vqvae_transformer.network import CodeModel

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.vqvae_transformer import Settings

THRESHOLD = "likelihood_threshold"
"""Name of the healthy threshold of the log likelihood among the arrays of a bundle."""


class VqVaeTransformerMethod(ReconstructionMethod):
    """First the autoencoder is trained, then the transformer on its codes."""

    network: CodeModel

    def __init__(self, settings: Settings):
        self.settings = settings
        self.threshold: float | None = None
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return CodeModel(self.settings)

    def objective(self) -> LightningModule:
        """Of the autoencoder."""
        from brainuad.methods.vqvae.objective import QuantisedObjective

        return QuantisedObjective(self.network, self.settings.loss, self.train, "autoencoder")

    def transformer_objective(self) -> LightningModule:
        """Of the transformer, the autoencoder frozen."""
        from brainuad.methods.vqvae_transformer.objective import CodeLikelihood

        return CodeLikelihood(self.network, self.settings.transformer_train)

    def stages(self) -> list[Stage]:
        """The autoencoder, the transformer."""
        return [*super().stages(), Stage("transformer", self.settings.transformer_train, self.transformer_objective)]

    def prepare(self, held_out: TrainingScans | None) -> None:
        """The threshold of the log likelihood of healthy codes.

        Raises InputError without held-out scans: the codes of training scans are likelier than those of new scans.
        """
        if self.settings.resampling.rule == "healthy":
            if held_out is None:
                do = "give a healthy data set a split with validation above 0, or set resampling.rule: per_image"
                raise InputError(f"{self.name} has no healthy validation scan for its threshold", do=do)
            self.threshold = self._healthy_threshold(held_out)

    def reconstruct_batch(self, batch: Tensor) -> Tensor:
        """The images of the resampled codes."""
        tokens = self.network.tokens(batch)
        likelihood = self.network.log_likelihood(tokens)
        unlikely = likelihood < self._threshold(likelihood)
        return self.network.decode(self.network.resample_unlikely(tokens, unlikely))

    def state(self) -> dict[str, np.ndarray]:
        """Weights, residual statistics, the healthy threshold."""
        threshold = {} if self.threshold is None else {THRESHOLD: np.array([self.threshold], np.float32)}
        return super().state() | threshold

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        super().load(state)
        if self.settings.resampling.rule == "healthy":
            if THRESHOLD not in state:
                raise InputError(f"the bundle lacks {THRESHOLD}", do="train the model again")
            self.threshold = float(state[THRESHOLD][0])

    def _threshold(self, likelihood: Float[Tensor, "n length"]) -> Float[Tensor, "n 1"] | float:
        if self.settings.resampling.rule == "per_image":
            return likelihood.quantile(self.settings.resampling.quantile, dim=1, keepdim=True)
        if self.threshold is None:
            raise InputError(f"{self.name} has no healthy likelihoods yet", do="train it first")
        return self.threshold

    @torch.no_grad()
    def _healthy_threshold(self, held_out: TrainingScans) -> float:
        self.network.eval()
        parts = [
            self.network.log_likelihood(self.network.tokens(batch.to(self.device))).flatten().cpu()
            for image, brain in zip(held_out.images, held_out.brains, strict=True)
            for _, batch in self.view.inputs(image, brain)
        ]
        likelihood = torch.cat(parts).numpy()
        return float(np.float32(np.quantile(likelihood, self.settings.resampling.quantile)))
