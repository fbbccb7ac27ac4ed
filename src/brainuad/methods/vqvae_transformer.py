"""A VQ-VAE whose unlikely codes a transformer replaces before they are decoded.

Source: Kuznetsov and Simpson, and their code; models.md 1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from monai.networks.nets.transformer import DecoderOnlyTransformer
from torch import Tensor, nn
from torch.nn.functional import pad

from brainuad.config.model import VqVaeTransformer
from brainuad.errors import InputError
from brainuad.methods.base import TrainingScans
from brainuad.methods.neural import Stage
from brainuad.methods.reconstruction import ReconstructionMethod
from brainuad.methods.vqvae import QuantisedAutoencoder

if TYPE_CHECKING:
    from lightning import LightningModule

CUT = "likelihood_cut"
"""Name of the healthy cut among the arrays of a bundle."""


class CodeModel(nn.Module):
    """A quantised autoencoder, and a transformer over its codes in raster order."""

    def __init__(self, model: VqVaeTransformer):
        super().__init__()
        network, transformer = model.network, model.transformer
        self.map = (network.size // 2 ** len(network.channels),) * network.dims
        self.start = network.codes
        self.autoencoder = QuantisedAutoencoder(network)
        self.transformer = DecoderOnlyTransformer(
            num_tokens=network.codes + 1,
            max_seq_len=self.map[0] ** network.dims,
            attn_layers_dim=transformer.width,
            attn_layers_depth=transformer.depth,
            attn_layers_heads=transformer.heads,
            embedding_dropout_rate=transformer.dropout,
        )

    def tokens(self, batch: Float[Tensor, "n 1 *size"]) -> Int[Tensor, "n length"]:
        """Numbers of the codes of a batch."""
        return self.autoencoder.tokens(batch).flatten(1)

    def decode(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n 1 *size"]:
        """The image of codes."""
        return self.autoencoder.decode(tokens.unflatten(1, self.map))

    def logits(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length token"]:
        """What the transformer expects at each place from the codes before it; the last token is the start's."""
        logits: Tensor = self.transformer(self._started(tokens[:, :-1]))
        return logits

    def log_likelihood(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length"]:
        """Of each code, given those before it."""
        return self.logits(tokens).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]

    def heal(self, tokens: Int[Tensor, "n length"], unlikely: Bool[Tensor, "n length"]) -> Int[Tensor, "n length"]:
        """Each unlikely code replaced, from left to right, by the likeliest after the healed ones before it."""
        healed = tokens.clone()
        for place in range(tokens.shape[1]):
            rows = unlikely[:, place]
            if rows.any():
                expected = self.transformer(self._started(healed[rows, :place]))[:, -1, : self.start]
                healed[rows, place] = expected.argmax(-1)
        return healed

    def _started(self, tokens: Tensor) -> Tensor:
        return pad(tokens, (1, 0), value=self.start)


class VqVaeTransformerMethod(ReconstructionMethod):
    """First the autoencoder is trained, then the transformer on its codes."""

    network: CodeModel

    def __init__(self, model: VqVaeTransformer):
        self.model = model
        self.cut: float | None = None
        super().__init__(model.family, model.network, model.train, model.map)

    def make_network(self) -> nn.Module:
        """Both networks with fresh weights."""
        return CodeModel(self.model)

    def objective(self) -> LightningModule:
        """Of the autoencoder."""
        from brainuad.methods.quantised import QuantisedReconstruction

        return QuantisedReconstruction(self.network, self.model.loss, self.train, "autoencoder")

    def transformer_objective(self) -> LightningModule:
        """Of the transformer, the autoencoder frozen."""
        from brainuad.methods.quantised import CodeLikelihood

        return CodeLikelihood(self.network, self.model.transformer_train)

    def stages(self) -> list[Stage]:
        """The autoencoder, the transformer."""
        return [*super().stages(), Stage("transformer", self.model.transformer_train, self.transformer_objective)]

    def fit(self, training: TrainingScans) -> None:
        """How unlikely codes of the training scans are; then the residuals of what is healed by that."""
        if self.model.healing.rule == "healthy":
            self.cut = self._healthy_cut(training)
        super().fit(training)

    def rebuild(self, batch: Tensor) -> Tensor:
        """The image of the healed codes."""
        tokens = self.network.tokens(batch)
        likelihood = self.network.log_likelihood(tokens)
        return self.network.decode(self.network.heal(tokens, likelihood < self._cut(likelihood)))

    def state(self) -> dict[str, np.ndarray]:
        """Weights, residual statistics, the healthy cut."""
        return super().state() | ({} if self.cut is None else {CUT: np.array([self.cut], np.float32)})

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave; raises InputError if a part is missing."""
        super().load(state)
        if self.model.healing.rule == "healthy":
            if CUT not in state:
                raise InputError(f"the bundle lacks {CUT}", do="train the model again")
            self.cut = float(state[CUT][0])

    def _cut(self, likelihood: Float[Tensor, "n length"]) -> Float[Tensor, "n 1"] | float:
        if self.model.healing.rule == "per_image":
            return likelihood.quantile(self.model.healing.quantile, dim=1, keepdim=True)
        if self.cut is None:
            raise InputError(f"{self.name} has no healthy likelihoods yet", do="train it first")
        return self.cut

    @torch.no_grad()
    def _healthy_cut(self, training: TrainingScans) -> float:
        self.network.eval()
        found = [
            self.network.log_likelihood(self.network.tokens(batch.to(self.device))).flatten().cpu()
            for image, brain in zip(training.images, training.brains, strict=True)
            for _, batch in self.view.batches(image, brain)
        ]
        likelihood = torch.cat(found).numpy()
        return float(np.float32(np.quantile(likelihood, self.model.healing.quantile)))


METHOD = VqVaeTransformerMethod
