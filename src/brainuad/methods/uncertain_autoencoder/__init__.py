"""An autoencoder that predicts how well it can reconstruct each pixel.

Source: Mao et al. 2020 (docs/methods/corruption.md).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from brainuad.config.measured import MeasureMap
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import NetworkSettings, Train, Trunk
from brainuad.config.network_text import NORMS, examples_text, sees, training_text, trunk, unit_of
from brainuad.config.section import Section
from brainuad.config.told import Told


class UncertainNetwork(Trunk):
    """Strided convolutions, two layers to a code and two back; the decoder gives an image and a log variance."""

    latent: int = Field(16, ge=1)
    """Length of the code."""
    hidden: int = Field(2048, ge=1)
    """Width of the layer between convolutions and code, on either side."""
    output: Literal["linear"] = "linear"
    """Always: a log variance has no bounds."""


class UncertainLoss(Section):
    """The negative log likelihood of a Gaussian with predicted mean and variance, averaged over pixels."""

    smallest_sd: float = Field(0.01, gt=0)
    """The predicted sd stays above it, in units of intensity: the background is known without doubt."""


class UncertainMap(MeasureMap):
    """How differences and their predicted variance become an anomaly map."""

    ABSOLUTE_MEASURE: ClassVar[str] = "the squared difference of scan and reconstruction over its predicted variance"
    SIGNED_MEASURE: ClassVar[str] = "the difference of scan and reconstruction over its predicted sd"


class Settings(NetworkSettings):
    """An autoencoder that predicts a variance for each pixel of its reconstruction (Mao et al. 2020)."""

    family: Literal["uncertain_autoencoder"]
    network: UncertainNetwork = UncertainNetwork(size=64)
    loss: UncertainLoss = UncertainLoss()
    train: Train = Train(epochs=250, batch_size=64, lr=5e-4, beta1=0.5)
    map: UncertainMap = UncertainMap()

    def describe(self) -> list[str]:
        told = Told(self)
        network = told.network
        code = f"The code is a vector of {network.latent}, by a layer of {network.hidden} on either side with "
        code += f"{NORMS[network.norm]}ReLU; the decoder gives the reconstruction and, for each pixel, a log variance."
        loss = "The loss is the mean over pixels of the squared difference of image and reconstruction over the "
        loss += f"variance, plus the log variance, whose sd stays above {told.loss.smallest_sd:g}."
        return [
            f"an autoencoder with predicted uncertainty [@mao2020] {sees(network)}",
            trunk(network),
            code,
            loss,
            *training_text(told.train, "It", unit_of(network)),
            *(examples_text(told.train) if network.dims == 2 else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.uncertain_autoencoder.method import UncertainMethod

        return UncertainMethod
