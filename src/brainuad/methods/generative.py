"""The trainings of a GAN: the generator against its critic, and an encoder for what it generates."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from brainuad.config.network import Adversarial, Optimisation
from brainuad.methods.gan_networks import EncoderGan, Gan
from brainuad.methods.objective import Objective, Terms
from brainuad.methods.versus import Versus


class Generative(Versus):
    """What is generated from noise is to pass for real."""

    network: Gan

    def __init__(self, network: Gan, train: Optimisation, adversarial: Adversarial):
        super().__init__(network, train, adversarial, judged=["generator"])

    def fake(self, batch: Tensor) -> Float[Tensor, "n 1 *size"]:
        """As many new images as the batch holds."""
        return self.network.draw(len(batch))

    def judged_terms(self, batch: Tensor) -> Terms:
        """The critic's opinion of new images, weighted."""
        opinion = self.opinion(self.fake(batch))
        return {"loss": self.adversarial.weight * opinion, "opinion": opinion.detach()}


class Encoding(Objective):
    """What is rebuilt from the encoder's code is to be near, as voxels and as features of the critic, which is frozen.

    Source: Schlegl et al. 2019 (izi_f).
    """

    network: EncoderGan

    def __init__(self, network: EncoderGan, train: Optimisation, feature_weight: float, trained: Sequence[str]):
        super().__init__(network, train, trained)
        self.feature_weight = feature_weight

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """Mean squared differences of voxels and features."""
        image, features = (found.mean() for found in self.network.apart(batch))
        loss = image + self.feature_weight * features
        return {"loss": loss, "reconstruction": image.detach(), "features": features.detach()}
