"""FAE: an autoencoder of pretrained features, by structural similarity. Source: Meissen et al. 2023."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from brainuad.config.features import FeatureSettings, ResNetBackbone, backbone_text
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Channels, Train
from brainuad.config.network_text import examples_text, training_text
from brainuad.config.told import Told, listed


class Settings(FeatureSettings):
    """An autoencoder of the features of a pretrained residual network (Meissen et al. 2023)."""

    family: Literal["feature_autoencoder"]
    backbone: ResNetBackbone = ResNetBackbone(network="resnet18")
    size: int = Field(128, ge=16)
    """Slices are padded to a square and resized to this side, in pixels; features have a quarter of it, which must be
    halved by each of `channels`."""
    layers: Annotated[list[Annotated[int, Field(ge=0, le=4)]], Field(min_length=1)] = [0, 1, 2]
    """Layers whose features are joined at the size of the stem, 0."""
    channels: Channels = [100, 150, 200, 300]
    """Of the autoencoder's convolutions of stride 2."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of channels that are dropped after each convolution in training."""
    window: int = Field(5, ge=3)
    """Side of the Gaussian window of the structural similarity, in places; odd."""
    train: Train = Train(steps=10_000, batch_size=32, lr=0.0002)

    @model_validator(mode="after")
    def _halves_evenly(self) -> Settings:
        if self.size % (step := 4 * 2 ** len(self.channels)):
            raise ValueError(f"size must be a multiple of {step} for {len(self.channels)} convolutions")
        if self.window % 2 == 0:
            raise ValueError("window must be odd")
        if self.train.crossfit:
            raise ValueError("a feature autoencoder has no residuals to cross-fit: leave train.crossfit at 0")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        channels, layers = (listed([str(each) for each in values]) for values in (told.channels, told.layers))
        dropout, window = told.dropout, told.window
        return [
            f"an autoencoder of the features of {told.backbone.network} [@meissen2023]",
            backbone_text(told),
            f"Features of the layers {layers} (0 is the stem) are joined at the size of the stem's. The autoencoder "
            f"has convolutions of stride 2 with kernel 5 and {channels} channels and transposed ones with kernel 6 in "
            f"reverse, each followed by batch normalisation, LeakyReLU and dropout of {dropout:g}. Loss and distance "
            f"are 1 minus the structural similarity, in a window of {window} places, averaged over channels.",
            *training_text(told.train, "It", "slice"),
            *examples_text(told.train),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.feature_autoencoder.method import FeatureAutoencoder

        return FeatureAutoencoder
