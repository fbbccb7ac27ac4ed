"""Reverse distillation: a student rebuilds a teacher's features from a narrow code. Source: Deng and Li 2022."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.features import FeatureSettings, ResNetBackbone, backbone_text
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Train
from brainuad.config.network_text import examples_text, training_text
from brainuad.config.told import Told


class Settings(FeatureSettings):
    """Reverse distillation from a pretrained residual network (Deng and Li 2022)."""

    family: Literal["rd4ad"]
    backbone: ResNetBackbone = ResNetBackbone(network="wide_resnet50_2")
    size: int = Field(256, ge=32)
    """Slices are padded to a square and resized to this side, in pixels: a multiple of 32."""
    train: Train = Train(epochs=200, batch_size=16, lr=0.005, beta1=0.5)

    @model_validator(mode="after")
    def _halves_evenly(self) -> Settings:
        if self.size % 32:
            raise ValueError("size must be a multiple of 32")
        if self.train.crossfit:
            raise ValueError("rd4ad has no residuals to cross-fit: leave train.crossfit at 0")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        return [
            f"reverse distillation [@deng2022] from {told.backbone.network}",
            backbone_text(told),
            "The features of its first three layers are fused into one map of half the size of the last, from which a "
            "student, the same network in reverse, rebuilds them; fusion and student are trained. The loss is 1 minus "
            "the cosine similarity of all of a slice's features in a layer, summed over the layers; the distance is "
            "that of each place, summed over the layers.",
            *training_text(told.train, "It", "slice"),
            *examples_text(told.train),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.rd4ad.method import ReverseDistillation

        return ReverseDistillation
