"""AnomalyDINO: cosine distance of a vision transformer's patches to healthy ones. Source: Damm et al. 2025."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from brainuad.config.features import FeatureSettings, MemoryBank, ViTBackbone, backbone_text, bank_text
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.told import Told


class Settings(FeatureSettings):
    """A memory bank of the patches of a pretrained vision transformer (Damm et al. 2025)."""

    family: Literal["anomaly_dino"]
    backbone: ViTBackbone = ViTBackbone()
    size: int = Field(448, ge=8)
    """Slices are padded to a square and resized to this side, in pixels: a multiple of the patch."""
    min_brain_share: float = Field(0.01, ge=0, le=1)
    """Training slices with a smaller share of brain are not used."""
    memory: MemoryBank = MemoryBank(candidates=20_000, share=1.0, largest=20_000)

    @model_validator(mode="after")
    def _whole_patches(self) -> Settings:
        if self.size % self.backbone.patch:
            raise ValueError(f"size must be a multiple of the patch, {self.backbone.patch} pixels")
        if self.backbone.width % self.backbone.heads:
            raise ValueError("backbone.width must be a multiple of backbone.heads")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        vit = told.backbone
        return [
            f"AnomalyDINO [@damm2025] on a vision transformer of {vit.depth} blocks of width {vit.width} with "
            f"{vit.heads} heads and patches of {vit.patch} pixels, in the layout of DINOv2 [@oquab2023]",
            backbone_text(told),
            bank_text(told.memory),
            "The distance of a patch is 1 minus its cosine similarity to the most similar patch that was kept.",
            f"Training slices with less than {100 * told.min_brain_share:g} % brain were not used.",
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.anomaly_dino.method import AnomalyDinoMethod

        return AnomalyDinoMethod
