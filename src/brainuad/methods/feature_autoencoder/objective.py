"""The loss of the feature autoencoder."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.network import Optimisation
from brainuad.methods.feature_autoencoder.network import dissimilarity
from brainuad.methods.shared.objective import Objective, Terms
from brainuad.methods.shared.pretrained import as_colour


class SimilarityObjective(Objective):
    """1 minus the mean structural similarity of features and reconstruction."""

    def __init__(self, network: nn.Module, settings: Optimisation, window: int):
        super().__init__(network, settings, trained=("autoencoder",))
        self.window = window

    def terms(self, batch: Float[Tensor, "n 1 x y"]) -> Terms:
        """The loss."""
        return {"loss": dissimilarity(self.network(as_colour(batch)), self.window).mean()}
