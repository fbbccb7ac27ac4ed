"""A denoising U-Net: it has learnt to find coarse noise in healthy scans, and takes lesions for it.

Source: Kascenas et al. 2022, and docs/methods/dae.md for what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from brainuad.config.model import TOLD_ELSEWHERE, ResidualMap, Several
from brainuad.config.network import Train, TrainedSettings, UNetwork
from brainuad.config.network_text import examples_text, training_text, unet_text
from brainuad.config.section import Section
from brainuad.config.told import Told, listed
from brainuad.methods.shared.healthy_atlas import AtlasSettings

Extra = Literal["z", "mean", "mirror"]
WORDS: dict[Extra, str] = {
    "z": "its z-score against the healthy training scans",
    "mean": "their mean",
    "mirror": "its mirror image",
}
"""Inputs of the network beside the scan."""


class Noise(Section):
    """Normal numbers on a grid of cells with straight lines between them, shifted at random."""

    sd: float = Field(0.2, gt=0)
    """Standard deviation at the corners of the cells, in units of intensity."""
    cell_mm: float = Field(16.0, gt=0)
    """Side of a cell, in mm. Lesions of about this size are what the network finds best."""
    weight: float = Field(1.0, gt=0)
    """How often an image gets this noise, relative to the other kinds."""


class Settings(TrainedSettings):
    """A U-Net that finds coarse noise in axial slices, and takes lesions for it."""

    several: ClassVar[Several] = "joint"

    family: Literal["dae"]
    network: UNetwork = UNetwork()
    inputs: list[Extra] = ["z", "mean", "mirror"]
    """What the network sees beside the scan. `z`: voxelwise z-score against the healthy training scans, `mean`: their
    mean, `mirror`: the scan with left and right exchanged. None of them knows a training scan itself."""
    atlas: AtlasSettings = AtlasSettings()
    """How the healthy scans become mean and sd, where `inputs` has `z` or `mean`."""
    noise: Annotated[list[Noise], Field(min_length=1)] = [Noise()]
    """Kinds of noise; each training image gets one of them."""
    flip: float = Field(0.5, ge=0, le=1)
    """Chance of a training image to be mirrored."""
    drop_sequence: float = Field(0.25, ge=0, le=1)
    """Of several sequences: chance of a training image to lack one of them, so that the network also maps sessions that
    lack one."""
    train: Train = Train(
        steps=1800,
        batch_size=16,
        lr=2e-3,
        optimizer="adamw",
        weight_decay=1e-4,
        warmup_steps=50,
        schedule="cosine",
        clip=1.0,
        ema=0.99,
        keep="last",
    )
    map: ResidualMap = ResidualMap(residual="signed", standardise=True, sd_floor=0.0, sd_added=1.0, smooth_mm=4.0)

    @model_validator(mode="after")
    def _inputs_once(self) -> Settings:
        if len(set(self.inputs)) < len(self.inputs):
            raise ValueError("inputs names one of them twice")
        if self.map.residual_at == "network":
            raise ValueError("map.residual_at: network is for networks that see scans at another resolution")
        return self

    def describe(self) -> list[str]:
        told = Told(self)
        kinds = [f"sd {kind.sd:g} on cells of {kind.cell_mm:g} mm" for kind in told.noise]
        if len(kinds) > 1:
            kinds = [f"{each} (weight {kind.weight:g})" for each, kind in zip(kinds, self.noise, strict=True)]
        beside = f", and beside it {listed([WORDS[extra] for extra in told.inputs])}" if told.inputs else ""
        what = (
            "a denoising U-Net [@kascenas2022] on axial slices, cut to a box about the centre that holds all brains; "
        )
        sentences = [
            f"{what}it sees the slice{beside}",
            unet_text(told.network),
            f"In training coarse noise was added in the brain (normal, {' or '.join(kinds)}, with straight lines "
            "between the corners of cells and a random shift), and the loss is the mean squared error of the noise "
            "that the network finds there; the difference of scan and reconstruction is the noise that it finds.",
        ]
        if any(extra != "mirror" for extra in self.inputs):
            sentences.append(
                f"z-scores rest on the sd of each voxel {self.atlas.words()}; training scans were compared with the "
                "other ones."
            )
        if told.flip:
            sentences.append(f"Training images were mirrored with a chance of {told.flip:g}.")
        sentences += [*training_text(told.train, "It", "slice"), *examples_text(told.train)]
        return [*sentences, *told.rest(*TOLD_ELSEWHERE, "atlas", "drop_sequence")]

    def describe_sequences(self, sequences: Sequence[str]) -> list[str]:
        if len(sequences) < 2:
            return super().describe_sequences(sequences)
        lacking = f"; a training image lacked one of them with a chance of {self.drop_sequence:g}"
        several = ", and in one that lacks more with whole training scans" * (len(sequences) > 2)
        return [
            f"It sees {listed(sequences)} as channels, each with noise of its own{lacking * bool(self.drop_sequence)}.",
            "What it finds in a session that lacks one sequence is compared with training scans that are shown without "
            f"the same sequence{several}.",
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.dae.method import DenoisingMethod

        return DenoisingMethod

    @classmethod
    def joint_class(cls) -> type[Any]:
        from brainuad.methods.dae.joint import JointDenoising

        return JointDenoising
