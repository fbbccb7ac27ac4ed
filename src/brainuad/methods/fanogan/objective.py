"""The objective of f-AnoGAN's encoder."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from brainuad.config.network import Optimisation
from brainuad.methods.fanogan.network import EncoderGan
from brainuad.methods.shared.objective import Objective, Terms


class EncoderObjective(Objective):
    """Reconstruction error in voxels and in the features of the critic, which is frozen.

    Source: Schlegl et al. 2019 (izi_f).
    """

    network: EncoderGan

    def __init__(self, network: EncoderGan, train: Optimisation, feature_weight: float, trained: Sequence[str]):
        super().__init__(network, train, trained)
        self.feature_weight = feature_weight

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """Mean squared differences of voxels and features."""
        image, features = (error.mean() for error in self.network.reconstruction_error(batch))
        loss = image + self.feature_weight * features
        return {"loss": loss, "reconstruction": image.detach(), "features": features.detach()}
