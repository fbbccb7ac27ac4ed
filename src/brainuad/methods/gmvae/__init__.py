"""Variational autoencoder whose code comes from a mixture of Gaussians, and restoration of scans under it.

Source: Dilokthanakul et al. 2016, You et al. 2019 (docs/methods/corruption.md).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Loss, Network, NetworkSettings, Train, check_kl
from brainuad.config.network_text import architecture, examples_text, loss_text, sees, training_text, unit_of
from brainuad.config.section import Section
from brainuad.config.told import Told, count, listed


class MixtureNetwork(Network):
    """A variational network whose code is drawn from one of several Gaussians (Dilokthanakul et al. 2016)."""

    bottleneck: Literal["dense", "spatial"] = "dense"
    """`dense`: code and w are vectors. `spatial`: they are maps, and each of their pixels has a component of its own
    (You et al. 2019); the decoder doubles by the nearest pixel and then convolves."""
    convolutions: int = Field(1, ge=1)
    """Convolutions on each level of encoder and decoder with `bottleneck: spatial`; the encoder's first one halves."""
    variational: Literal[True] = True
    """Always."""
    components: int = Field(9, ge=1)
    """Number of Gaussians."""
    latent_w: int = Field(10, ge=1)
    """Length of the vector w, or channels of its map, from which the means and variances of all Gaussians are
    computed."""
    hidden: int = Field(500, ge=1)
    """Width of the one layer between w and these means and variances."""

    @model_validator(mode="after")
    def _spatial(self) -> MixtureNetwork:
        if self.bottleneck == "dense":
            if self.convolutions > 1:
                raise ValueError("convolutions above 1 goes with bottleneck: spatial")
            return self
        plain = self.norm == "none" and self.bias and not self.coord_conv and not self.dropout
        if not plain or self.decoder_end != "conv" or self.blocks != "strided" or self.kernel % 2 == 0:
            why = (
                "norm: none, blocks: strided, decoder_end: conv, bias: true and an odd kernel, and takes no coord_conv"
            )
            raise ValueError(f"bottleneck: spatial needs {why} or dropout")
        return self


class MixtureLoss(Loss):
    """Terms and weights of the evidence lower bound."""

    free_component: float = Field(0.0, ge=0)
    """A divergence of the component below this counts as this, for each image or pixel of a spatial code: within it
    the choice of components costs nothing."""


class Phase(Section):
    """Steps of one size."""

    steps: int = Field(ge=1)
    """Number of steps."""
    size: float = Field(gt=0)
    """By which the gradient is multiplied."""


class Restoration(Section):
    """Gradient steps from a scan to an image that is more probable, close to the scan in total variation."""

    phases: Annotated[list[Phase], Field(min_length=1)] = [Phase(steps=100, size=0.005), Phase(steps=400, size=0.002)]
    """The steps, one phase after the other."""
    clip: float = Field(100.0, gt=0)
    """Largest gradient of a pixel."""
    weights: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] = [
        round(0.2 * number, 1) for number in range(20)
    ]
    """Weights of the total variation of scan - image. The one is taken that changes healthy validation scans least."""
    slices: int = Field(64, ge=1)
    """Slices of the validation scans that it is chosen on."""


class Settings(NetworkSettings):
    """A variational autoencoder whose code comes from a mixture of Gaussians (Dilokthanakul et al. 2016).

    `loss.kl` is the weight of the divergences of the code, of w and of the component alike.
    """

    family: Literal["gmvae"]
    network: MixtureNetwork = MixtureNetwork()
    loss: MixtureLoss = MixtureLoss(reconstruction="gaussian", kl=1.0)
    restoration: Restoration | None = None
    """Restore scans (You et al. 2019) in place of reconstructing them; nothing for the reconstruction."""
    train: Train = Train(epochs=100)

    @model_validator(mode="after")
    def _kl_and_no_context(self) -> Settings:
        check_kl(self.network, self.loss)
        if self.loss.context_encoding:
            raise ValueError("a Gaussian mixture takes no loss.context_encoding")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        network = told.network
        restores = "the restoration of scans by " if self.restoration else ""
        return [
            f"{restores}a Gaussian mixture variational autoencoder [@dilokthanakul2016] {sees(network)}",
            *(architecture(network) if network.bottleneck == "dense" else _spatial_architecture(network)),
            _mixture(network),
            *loss_text(told.loss),
            *_free(told.loss.free_component),
            *training_text(told.train, "It", unit_of(network)),
            *(examples_text(told.train) if network.dims == 2 else []),
            *(_restoration(told.restoration) if self.restoration else []),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.gmvae.method import GmVaeMethod

        return GmVaeMethod


def _spatial_architecture(network: Told) -> list[str]:
    channels = listed([str(n) for n in network.channels])
    text = f"Its encoder halves the image with {channels} channels, by {count(network.convolutions, 'convolution')} of "
    text += f"kernel {network.kernel} each time, and its decoder mirrors it, doubling by the nearest pixel, with "
    text += f"LeakyReLU of slope {network.slope:g}" if network.slope else "ReLU"
    text += "" if network.norm == "none" else f" and {network.norm} normalisation"
    text += f"{' and a sigmoid at the end' if network.output == 'sigmoid' else ''}."
    return [text, f"The code is a map of {count(network.latent, 'channel')}; its mean is decoded at test time."]


def _mixture(network: Told) -> str:
    what = "vector" if network.bottleneck == "dense" else "map of channels, pixel by pixel,"
    text = (
        f"The code is drawn from a mixture of {network.components} Gaussians, whose means and variances are computed "
    )
    text += f"from a {what} of {network.latent_w} by a layer of {network.hidden} [@dilokthanakul2016]; the weight of "
    return f"{text}the KL divergence is that of the divergences of code, vector and component alike."


def _free(least: float) -> list[str]:
    return [f"A divergence of the component below {least:g} counted as that."] if least else []


def _restoration(restoration: Told) -> list[str]:
    phases = listed([f"{count(phase.steps, 'step')} of size {phase.size:g}" for phase in restoration.phases])
    weights, slices = restoration.weights, count(restoration.slices, "slice")
    how = "A scan is restored [@you2019] by steps down the gradient of the loss and of the weighted total variation "
    how += f"of what was changed: {phases}, within the brain, a pixel's gradient limited to {restoration.clip:g}."
    if len(weights) == 1:
        return [how, f"The weight of the total variation is {weights[0]:g}."]
    span = listed([f"{weight:g}" for weight in weights])
    chosen = (
        f"Of the weights {span} that one was taken by which {slices} of the healthy validation scans changed least."
    )
    return [how, chosen]
