"""The method of an autoencoder with predicted uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.shared.measured import Measures, MeasuringMethod
from brainuad.methods.uncertain_autoencoder.network import UncertainAutoencoder

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.uncertain_autoencoder import Settings


class UncertainMethod(MeasuringMethod):
    """Differences count less where the network expects them, such as at edges and at the skull."""

    network: UncertainAutoencoder

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return UncertainAutoencoder(self.settings.network, self.settings.loss)

    def objective(self) -> LightningModule:
        """The likelihood of the image under the predicted Gaussians."""
        from brainuad.methods.uncertain_autoencoder.objective import LikelihoodObjective

        return LikelihoodObjective(self.network, self.train)

    def measure(self, batch: Float[Tensor, "n 1 *size"]) -> Measures:
        """Differences in units of the predicted sd, and their squares."""
        found = self.network(batch)
        scaled = (batch - found.mean) * (-0.5 * found.log_variance).exp()
        return Measures(found.mean, scaled, scaled.square())
