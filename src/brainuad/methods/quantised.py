"""The Lightning modules of vector-quantised networks and of the transformer over their codes."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from brainuad.config.network import Optimisation
from brainuad.config.quantised import QuantisedLoss
from brainuad.methods.objective import Objective, Terms, reconstruction_terms


class QuantisedReconstruction(Objective):
    """Reconstruction, commitment and context encoding. `part`: the child that is the autoencoder, else all is."""

    def __init__(self, network: nn.Module, loss: QuantisedLoss, train: Optimisation, part: str = ""):
        super().__init__(network, train, [part] if part else ())
        self.loss = loss
        self.autoencoder: Any = network.get_submodule(part)

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts, and how many codes are in use. Corrupted images do not move the codebook."""
        learnt = self.autoencoder.learn(batch)
        terms = reconstruction_terms(self.autoencoder, batch, self.loss, learnt.output)
        loss = terms["loss"] + self.loss.commitment * learnt.commitment
        return {**terms, "loss": loss, "commitment": learnt.commitment.detach(), "perplexity": learnt.perplexity}


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
