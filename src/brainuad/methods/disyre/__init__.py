"""Restoration of synthetic corruptions whose severity the network is told.

Source: Naval Marimont et al. 2024, the second version of DISYRE (docs/methods/corruption.md).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from brainuad.config.measured import MeasureMap
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Grid, NetworkSettings, Train
from brainuad.config.network_text import examples_text, sees, training_text
from brainuad.config.section import Section
from brainuad.config.told import Told, between, count, listed

Share = Annotated[float, Field(ge=0, le=1)]


class SeverityNetwork(Grid):
    """MONAI's U-Net of residual blocks and attention, which is told the step."""

    dims: Literal[2] = 2
    """Axial slices."""
    channels: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [64, 128, 128, 256, 256]
    """Channels of the levels; each but the first is half as large as the one before."""
    fold: int = Field(1, ge=1)
    """Squares of so many by so many pixels become channels of one pixel, which saves time; 1 for none."""
    res_blocks: int | list[int] = 1
    """Residual blocks on the way down, of all levels or of each."""
    attention_sides: list[int] = [16, 8]
    """Sides of the levels, in pixels, that have self-attention."""
    groups: int = Field(32, ge=1)
    """Groups of the group normalisation; each number of channels must be a multiple."""
    head_channels: int = Field(64, ge=1)
    """Channels of an attention head."""

    @model_validator(mode="after")
    def _fits(self) -> SeverityNetwork:
        if any(number % self.groups for number in self.channels):
            raise ValueError(f"channels must be multiples of groups, {self.groups}")
        if isinstance(self.res_blocks, list) and len(self.res_blocks) != len(self.channels):
            raise ValueError("res_blocks must be one number, or one for each of the channels")
        if self.size % (self.fold * 2 ** (len(self.channels) - 1)):
            raise ValueError(f"size {self.size} cannot be folded by {self.fold} and then halved for every level")
        return self


class Corruption(Section):
    """A blob that is filled with foreign texture, then shifted in intensity. Lengths in pixels of the network."""

    radius: tuple[float, float] = (8.0, 24.0)
    """Smallest and largest mean radius of the blob."""
    edge: float = Field(5.0, ge=0)
    """Largest sigma of the Gaussian that blurs the border; drawn evenly from 0."""
    soft: Share = 0.7
    """Share of blobs with a blurred border."""
    levels: Annotated[list[float], Field(min_length=1)] = [0.08, 0.31, 0.46, 0.61, 0.78]
    """Intensities that stand for the kinds of tissue; the shift of intensity takes some kinds inside the blob."""


class Severity(Section):
    """How the network is told the severity: as the step of a variance-preserving diffusion with a like share of signal.

    As in the public code, a light corruption is a late step.
    """

    steps: int = Field(100, ge=2)
    """Number of steps."""
    beta: tuple[float, float] = (0.1, 20.0)
    """Rate of noise at the first and the last step."""
    asked: Annotated[list[int], Field(min_length=1)] = [99, 74, 49, 24]
    """Steps that the network is asked for at test time."""

    @model_validator(mode="after")
    def _steps_that_there_are(self) -> Severity:
        if not all(0 <= step < self.steps for step in self.asked):
            raise ValueError(f"the steps asked for must be from 0 to {self.steps - 1}")
        return self


class Augmentation(Section):
    """Changes of the healthy slice before it is corrupted, each with a chance of its own."""

    flips: Share = 0.5
    """Chance to be mirrored, along each axis by itself."""
    turns: Share = 0.1
    """Chance to be turned by up to 15 degrees, and as much to be scaled by 0.75 to 1.25."""
    intensities: Share = 0.15
    """Chance of each of: gain of 0.9 to 1.1, gamma of 0.5 to 2, the same of the inverted image, noise of a variance up
    to 0.05, blur of sigma 0.5 to 1.5 pixels."""


class DisyreMap(MeasureMap):
    """How the differences of a slice and its restorations become an anomaly map."""

    ABSOLUTE_MEASURE: ClassVar[str] = (
        "the mean over these steps of the absolute difference of slice and restoration, times the share of the slice "
        "that is brain"
    )
    SIGNED_MEASURE: ClassVar[str] = "the mean over these steps of the signed difference of slice and restoration"


class Settings(NetworkSettings):
    """Restoration of synthetic corruptions of a known severity (Naval Marimont et al. 2024)."""

    family: Literal["disyre"]
    network: SeverityNetwork = SeverityNetwork()
    corruption: Corruption = Corruption()
    severity: Severity = Severity()
    augmentation: Augmentation = Augmentation()
    train: Train = Train(steps=100_000, batch_size=64, lr=1e-4)
    map: DisyreMap = DisyreMap()

    def describe(self) -> list[str]:
        told = Told(self)
        return [
            f"the restoration of synthetic corruptions of a known severity [@disyre2024] {sees(told.network)}",
            _architecture(told.network),
            *_corruption(told.corruption),
            _augmentation(told.augmentation),
            *_severity(told.severity),
            "The loss is the mean squared difference of restoration and healthy slice, in intensities from -1 to 1.",
            *training_text(told.train, "It", "slice"),
            *examples_text(told.train),
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.disyre.method import DisyreMethod

        return DisyreMethod


def _architecture(network: Told) -> str:
    channels, blocks = listed([str(n) for n in network.channels]), network.res_blocks
    blocks_text = listed([str(n) for n in blocks]) if isinstance(blocks, list) else str(blocks)
    text = f"It is MONAI's U-Net of diffusion models, with {channels} channels, {blocks_text} residual blocks on its "
    text += f"levels and group normalisation of {count(network.groups, 'group')}"
    if network.fold > 1:
        text += f", on squares of {network.fold} x {network.fold} pixels as channels"
    sides = listed([str(side) for side in network.attention_sides])
    text += f"; it has self-attention in the middle{f' and at {sides} pixels' if sides else ''}, with heads of "
    return f"{text}{count(network.head_channels, 'channel')}, and an embedding of the severity in each block."


def _corruption(corruption: Told) -> list[str]:
    blob = f"In training each slice is corrupted in a blob with a mean radius of {between(corruption.radius)} pixels, "
    blob += f"with a share of {corruption.soft:g} blurred at its border by a sigma of up to {corruption.edge:g} pixels."
    levels = listed([f"{level:g}" for level in corruption.levels])
    inside = "Inside it a share from 0 to 1 of another slice of the batch is mixed in, brought to the same range, and "
    inside += f"a shift from 0 to 1, up or down, is then added to some kinds of tissue (those next to {levels}, each "
    return [blob, f"{inside}with a chance of its share of the blob)."]


def _augmentation(augmentation: Told) -> str:
    text = f"Before it, slices are mirrored along each axis (chance {augmentation.flips:g}), turned by up to 15 "
    text += f"degrees and scaled by 0.75 to 1.25 ({augmentation.turns:g} each), and changed in gain, gamma, noise and "
    return f"{text}blur ({augmentation.intensities:g} each)."


def _severity(severity: Told) -> list[str]:
    rates = f"{severity.beta[0]:g} to {severity.beta[1]:g}"
    what = "The severity is the larger of the share mixed in and of the largest change by the shift; the network is "
    what += f"told the one of {severity.steps} steps of a diffusion (rates of noise {rates}) whose share of signal is "
    asked = listed([str(step) for step in severity.asked])
    return [f"{what}nearest.", f"At test time the slice as it is is restored for the steps {asked}."]
