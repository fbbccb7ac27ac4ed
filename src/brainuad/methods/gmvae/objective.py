"""The objective of a Gaussian mixture's autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.network import Optimisation
from brainuad.methods.gmvae.bound import negative_bound
from brainuad.methods.shared.objective import Objective, Terms

if TYPE_CHECKING:
    from brainuad.methods.gmvae import MixtureLoss


class MixtureObjective(Objective):
    """Reconstruction, and the divergences of the code, of w and of the component from their priors."""

    def __init__(self, network: nn.Module, loss: MixtureLoss, train: Optimisation):
        super().__init__(network, train)
        self.loss = loss

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts."""
        return negative_bound(self.network, batch, self.loss)
