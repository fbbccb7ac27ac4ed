"""PatchCore: distance of locally aware patch features to a coreset of healthy ones. Source: Roth et al. 2022."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.features import FeatureSettings, MemoryBank, ResNetBackbone, backbone_text, bank_text
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.told import Told, listed


class Settings(FeatureSettings):
    """A memory bank of patch features of a pretrained residual network (Roth et al. 2022)."""

    family: Literal["patchcore"]
    backbone: ResNetBackbone = ResNetBackbone(network="wide_resnet50_2")
    layers: tuple[int, int] = (2, 3)
    """The two layers whose features are joined, of 1 to 4; the deeper one is interpolated to the size of the other."""
    neighbourhood: int = Field(3, ge=1)
    """Side of the square over which features are averaged, so that they know their surroundings; odd."""
    min_brain_share: float = Field(0.01, ge=0, le=1)
    """Training slices with a smaller share of brain are not used."""
    memory: MemoryBank = MemoryBank()

    @model_validator(mode="after")
    def _two_layers_and_a_centre(self) -> Settings:
        if not 1 <= self.layers[0] < self.layers[1] <= 4:
            raise ValueError("layers must be two of 1 to 4, the deeper one last")
        if self.neighbourhood % 2 == 0:
            raise ValueError("neighbourhood must be odd")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        layers = listed([str(each) for each in told.layers])
        side = told.neighbourhood
        return [
            f"PatchCore [@roth2022] on {told.backbone.network}",
            backbone_text(told),
            f"Features of the layers {layers} are averaged over {side} x {side} places and joined.",
            bank_text(told.memory),
            "The distance of a patch is the Euclidean one to the nearest patch that was kept.",
            f"Training slices with less than {100 * told.min_brain_share:g} % brain were not used.",
            *told.rest(*TOLD_ELSEWHERE, "backbone.width"),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.patchcore.method import PatchCoreMethod

        return PatchCoreMethod
