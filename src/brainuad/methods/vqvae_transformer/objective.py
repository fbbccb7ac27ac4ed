"""The Lightning module of the transformer over codes."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from brainuad.config.network import Optimisation
from brainuad.methods.shared.objective import Objective, Terms


class CodeLikelihood(Objective):
    """The transformer's cross-entropy; the autoencoder is frozen."""

    def __init__(self, network: nn.Module, train: Optimisation):
        super().__init__(network, train, ["transformer"])

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """Mean negative log likelihood of a code, in nats."""
        network: Any = self.network
        with torch.no_grad():
            tokens = network.tokens(batch)
        return {"loss": cross_entropy(network.logits(tokens).flatten(0, 1), tokens.flatten())}
