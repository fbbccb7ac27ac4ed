"""The objective of an autoencoder with predicted uncertainty."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from brainuad.methods.shared.objective import Objective, Terms


class LikelihoodObjective(Objective):
    """Twice the negative log likelihood of a Gaussian for each pixel, without its constant, averaged over pixels."""

    def terms(self, batch: Float[Tensor, "n 1 *size"]) -> Terms:
        """The loss and its parts."""
        found = self.network(batch)
        squared = (batch - found.mean).square()
        parts = {"scaled": (squared * (-found.log_variance).exp()).mean(), "log_variance": found.log_variance.mean()}
        told = {"squared": squared.mean(), **parts}
        return {
            "loss": parts["scaled"] + parts["log_variance"],
            **{name: part.detach() for name, part in told.items()},
        }
