"""The objective of DISYRE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from brainuad.config.network import Optimisation
from brainuad.methods.disyre.corruption import augment, corrupt
from brainuad.methods.disyre.network import Restorer
from brainuad.methods.shared.objective import Terms
from brainuad.methods.shared.steady import SteadyObjective

if TYPE_CHECKING:
    from brainuad.methods.disyre import Augmentation, Corruption


class RestorationObjective(SteadyObjective):
    """Mean squared difference of restored and healthy slices, in intensities from -1 to 1."""

    network: Restorer

    def __init__(self, network: Restorer, corruption: Corruption, augmentation: Augmentation, train: Optimisation):
        super().__init__(network, train)
        self.corruption, self.augmentation = corruption, augmentation

    def terms(self, batch: Float[Tensor, "n 1 h w"]) -> Terms:
        """The loss; healthy slices are augmented in training alone."""
        healthy = augment(batch, self.augmentation) if self.network.training else batch
        corrupted, severity = corrupt(healthy, self.corruption)
        restored = self.network(corrupted, self.network.step_of(severity))
        return {"loss": (2 * (restored - healthy)).square().mean()}
