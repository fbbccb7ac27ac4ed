"""The objective of a generator and its critic."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from brainuad.config.network import Adversarial, Optimisation
from brainuad.methods.shared.adversarial import AdversarialObjective
from brainuad.methods.shared.gan import Gan
from brainuad.methods.shared.objective import Terms


class GanObjective(AdversarialObjective):
    """Trains the generator against its critic."""

    network: Gan

    def __init__(self, network: Gan, train: Optimisation, adversarial: Adversarial):
        super().__init__(network, train, adversarial, generator_parts=["generator"])

    def generated(self, batch: Tensor) -> Float[Tensor, "n 1 *size"]:
        """As many new images as the batch holds."""
        return self.network.sample(len(batch))

    def generator_terms(self, batch: Tensor) -> Terms:
        """The weighted adversarial loss of new images."""
        adversarial = self.adversarial_loss(self.generated(batch))
        return {"loss": self.adversarial.weight * adversarial, "adversarial": adversarial.detach()}
