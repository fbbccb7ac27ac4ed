"""The method of the feature autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from brainuad.methods.feature_autoencoder.network import FeatureNetwork, dissimilarity
from brainuad.methods.shared.features import FeatureMethod
from brainuad.methods.shared.pretrained import as_colour

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.feature_autoencoder import Settings


class FeatureAutoencoder(FeatureMethod):
    """1 minus the structural similarity of features and reconstruction, averaged over channels."""

    aligned: ClassVar[bool] = True

    def __init__(self, settings: Settings):
        self.own, self.train = settings, settings.train
        super().__init__(settings, settings.train.min_brain_share)

    def make_network(self) -> nn.Module:
        return FeatureNetwork(self.own)

    def objective(self) -> LightningModule:
        from brainuad.methods.feature_autoencoder.objective import SimilarityObjective

        return SimilarityObjective(self.network, self.train, self.own.window)

    def slice_maps(self, batch: Float[Tensor, "n 1 x y"], inside: Tensor) -> Float[Tensor, "n 1 h w"]:  # noqa: ARG002
        found = dissimilarity(self.network(as_colour(batch)), self.own.window)
        return found.mean(1, keepdim=True)
