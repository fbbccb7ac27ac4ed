"""Segmentation of synthetic lesions by a U-Net that also sees an atlas of healthy scans.

Source: docs/methods/synseg.md.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE, MethodSettings, Standardised, sds, smoothed
from brainuad.config.network import Train, UNetwork
from brainuad.config.network_text import training_text, unet_text
from brainuad.config.section import Section
from brainuad.config.synthetic import ScannerChanges, SyntheticLesions
from brainuad.config.told import Told, between, count
from brainuad.methods.shared.healthy_atlas import AtlasSettings

SIGNS = {
    "dark": "the logit of dark lesions",
    "bright": "the logit of bright lesions",
    "both": "the larger of the logits of dark and of bright lesions",
}


class Inputs(Section):
    """What the network sees of a slice beside its intensities. Lengths are in mm."""

    smooth_mm: float = Field(2.0, ge=0)
    """Sigma of the smoothing of scans before they are compared with the atlas, also of their left-right difference."""
    coarse_mm: float = Field(8.0, ge=0)
    """The same at a coarser scale."""
    neighbours_mm: float = Field(2.0, gt=0)
    """Distance of the slices above and below."""


class Weights(Section):
    """Weights of the terms of the loss."""

    cross_entropy: float = Field(4.0, ge=0)
    """Of the mean binary cross entropy of brain voxels."""
    dice: float = Field(0.5, ge=0)
    """Of one minus the soft Dice of a batch."""


class LogitMap(Standardised):
    """How logits become an anomaly map."""

    sd_floor: float = Field(0.0, ge=0)
    sd_added: float = Field(1.0, ge=0)
    smooth_mm: float = Field(2.0, ge=0)

    def describe(self, lesion_sign: str) -> list[str]:
        told = Told(self)
        text = f"is the z-score of {SIGNS[lesion_sign]}, voxel by voxel against the healthy training scans {sds(told)}"
        return [f"{text}{smoothed(told.smooth_mm)}.", *told.rest()]


class Settings(MethodSettings):
    """A U-Net that segments synthetic lesions in healthy scans, and sees an atlas of healthy scans."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = True
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False
    draws_examples: ClassVar[bool] = True

    family: Literal["synseg"]
    network: UNetwork = UNetwork()
    inputs: Inputs = Inputs()
    atlas: AtlasSettings = AtlasSettings()
    lesions: SyntheticLesions = SyntheticLesions()
    scanner: ScannerChanges = ScannerChanges()
    loss: Weights = Weights()
    slices: int = Field(6, ge=1)
    """Axial slices that the network sees of each sample, which is a healthy scan with lesions drawn into it. More of
    them cost less time each, and are more alike."""
    apart_mm: float = Field(4.0, ge=0)
    """Distance of these slices."""
    shown: int = Field(3, ge=1)
    """How often the network sees each slice."""
    mix: int = Field(64, ge=1)
    """Samples whose slices are shuffled together, so that those of a step are not alike. They wait in memory."""
    mirror: float = Field(0.5, ge=0, le=1)
    """Share of slices with left and right exchanged."""
    train: Train = Train(steps=1800, batch_size=16, lr=2e-3, keep="last")
    map: LogitMap = LogitMap()

    @model_validator(mode="after")
    def _no_folds(self) -> Settings:
        if self.train.crossfit:
            raise ValueError("synseg takes no train.crossfit: its map has no residuals")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        inputs, lesions = told.inputs, told.lesions
        seen = f"It sees a slice and those {inputs.neighbours_mm:g} mm above and below, its mirror image, the mean of "
        seen += "the healthy training scans, and z-scores against them: of the slice, of the scan smoothed by "
        seen += f"Gaussians of sigma {inputs.smooth_mm:g} mm (also mirrored) and {inputs.coarse_mm:g} mm, and of its "
        seen += f"left-right difference at {inputs.smooth_mm:g} mm; a training scan is compared with the others."
        shapes = "Lesions are rough ellipsoids with soft edges at random places, with a radius of "
        shapes += f"{between(lesions.radius_mm, 'mm')} whose density falls with its power of {lesions.radius_power:g}; "
        shapes += f"{100 * lesions.healthy:g} % of the samples have none; {100 * lesions.dark:g} % of those that "
        shapes += "change intensity are dark. No mask of a patient was used. Samples also have random contrast, gain, "
        shapes += "sharpness and noise."
        loss = f"The loss is {told.loss.cross_entropy:g} times the binary cross entropy plus {told.loss.dice:g} times "
        loss += "one minus the soft Dice, of the logits of dark and of bright lesions."
        sampled = f"Each sample gave {count(told.slices, 'slice')}; each was shown {count(told.shown, 'time')}, among "
        sampled += f"those of {told.mix} samples."
        return [
            "a segmentation network that learnt from synthetic lesions in healthy scans, on axial slices",
            *unet_text(told.network),
            seen,
            f"The sd of each voxel {self.atlas.words()} is that of the healthy training scans.",
            shapes,
            loss,
            *training_text(told.train, "It", "slice"),
            sampled,
            *told.rest(*TOLD_ELSEWHERE, "atlas"),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.synseg.method import SynSeg

        return SynSeg
