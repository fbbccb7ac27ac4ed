"""The Lightning module of vector-quantised autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.network import Optimisation
from brainuad.methods.shared.objective import Objective, Terms, reconstruction_terms

if TYPE_CHECKING:
    from brainuad.methods.vqvae import QuantisedLoss


class QuantisedObjective(Objective):
    """Reconstruction, commitment and context encoding. `part`: the child that is the autoencoder, else the network."""

    def __init__(self, network: nn.Module, loss: QuantisedLoss, train: Optimisation, part: str = ""):
        super().__init__(network, train, [part] if part else ())
        self.loss = loss
        self.autoencoder: Any = network.get_submodule(part)

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts, and the perplexity of the codes. Masked images do not update the codebook."""
        quantised = self.autoencoder.quantise_and_reconstruct(batch)
        terms = reconstruction_terms(self.autoencoder, batch, self.loss, quantised.output)
        loss = terms["loss"] + self.loss.commitment * quantised.commitment
        return {**terms, "loss": loss, "commitment": quantised.commitment.detach(), "perplexity": quantised.perplexity}
