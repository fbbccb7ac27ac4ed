"""The evidence bound of a Gaussian mixture's autoencoder. Source: Dilokthanakul et al. 2016, section 3."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.network import Loss, Optimisation
from brainuad.methods.gmvae import component_kl, conditional_kl, memberships
from brainuad.methods.objective import Objective, Terms, distance, kl_divergence


class MixtureBound(Objective):
    """Reconstruction, and the divergences of the code, of w and of the component from their priors."""

    def __init__(self, network: nn.Module, loss: Loss, train: Optimisation):
        super().__init__(network, train)
        self.loss = loss

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts."""
        found = self.network(batch)
        chances = memberships(found.code, found.components)
        divergences = {
            "kl_code": conditional_kl(found.of_code, found.components, chances),
            "kl_w": kl_divergence(*found.of_w),
            "kl_component": component_kl(chances),
        }
        reconstruction = distance(batch, found.reconstruction, self.loss)
        loss = reconstruction + self.loss.kl * sum(divergences.values())
        parts = {"reconstruction": reconstruction, **divergences}
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}
