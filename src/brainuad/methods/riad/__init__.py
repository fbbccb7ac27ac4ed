"""Inpainting of squares that are hidden from the network, at several sizes.

Source: Zavrtanik et al. 2021 (RIAD; docs/methods/corruption.md).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from brainuad.config.measured import MeasureMap
from brainuad.config.model import TOLD_ELSEWHERE
from brainuad.config.network import Channels, Grid, NetworkSettings, Train, UNetwork
from brainuad.config.network_text import examples_text, sees, training_text
from brainuad.config.section import Section
from brainuad.config.told import Told, count, listed


class InpaintingNetwork(Grid, UNetwork):
    """A U-Net on slices."""

    dims: Literal[2] = 2
    """Axial slices."""
    channels: Channels = [64, 128, 256, 512, 512]
    """Channels of each level, from the finest to the coarsest."""
    patch: int = Field(1, ge=1, le=4)
    """The finest level has a pixel for each `patch` x `patch` pixels, whose values are its channels."""

    @model_validator(mode="after")
    def _fits(self) -> InpaintingNetwork:
        if self.size % self.multiple:
            raise ValueError(f"size {self.size} must be a multiple of {self.multiple}, by patch and channels")
        return self


class Hiding(Section):
    """Each slice is divided into squares, and these into sets; the network sees the slice once without each set."""

    squares: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [2, 4, 8, 16]
    """Sides of the squares, in pixels; one size per step of the training, all at test time."""
    sets: int = Field(3, ge=2)
    """Number of sets; the share of a slice that is hidden is one of so many."""


class InpaintingLoss(Section):
    """Weights of the distances between a slice and what was painted in place of its squares."""

    squared: float = Field(1.0, ge=0)
    """Of the mean squared difference."""
    gradient: float = Field(1.0, ge=0)
    """Of the mean of 1 - gradient magnitude similarity, at four scales."""
    structure: float = Field(1.0, ge=0)
    """Of 1 - structural similarity, in windows of 11 pixels."""

    @model_validator(mode="after")
    def _any(self) -> InpaintingLoss:
        if not self.squared + self.gradient + self.structure:
            raise ValueError("one of the weights must be above 0")
        return self


class Similarity(Section):
    """Gradient magnitude similarity of slice and inpainting, at test time."""

    mean_filter: int = Field(21, ge=1)
    """Side of the mean filter over it, in pixels of the network; odd, else it would shift the map."""

    @model_validator(mode="after")
    def _centred(self) -> Similarity:
        if self.mean_filter % 2 == 0:
            raise ValueError("mean_filter must be odd, else it shifts the map")
        return self


class RiadMap(MeasureMap):
    """How the differences of a slice and its inpainting become an anomaly map."""

    ABSOLUTE_MEASURE: ClassVar[str] = (
        "1 - gradient magnitude similarity of slice and inpainting, the mean over four scales and all sizes of squares"
    )
    SIGNED_MEASURE: ClassVar[str] = "the mean difference of slice and inpainting over all sizes of squares"


class Settings(NetworkSettings):
    """Inpainting of squares that are hidden from the network (Zavrtanik et al. 2021)."""

    family: Literal["riad"]
    network: InpaintingNetwork = InpaintingNetwork()
    hiding: Hiding = Hiding()
    loss: InpaintingLoss = InpaintingLoss()
    similarity: Similarity = Similarity()
    train: Train = Train(epochs=300, batch_size=4, lr=1e-4)
    map: RiadMap = RiadMap()

    def describe(self) -> list[str]:
        told = Told(self)
        return [
            f"the inpainting of hidden squares [@riad2021] {sees(told.network)}",
            _architecture(told.network),
            _hiding(told.hiding),
            _loss(told.loss),
            *training_text(told.train, "It", "slice"),
            *examples_text(told.train),
            f"The gradient magnitude similarity is smoothed by a mean filter of {told.similarity.mean_filter} pixels.",
            *told.rest(*TOLD_ELSEWHERE),
        ]

    @classmethod
    def method_class(cls) -> type[Any]:
        from brainuad.methods.riad.method import RiadMethod

        return RiadMethod


def _architecture(network: Told) -> str:
    text = f"It is a U-Net with {listed([str(n) for n in network.channels])} channels on its levels, each with two "
    text += f"convolutions of kernel 3, group normalisation ({count(network.groups, 'group')} at most) and SiLU"
    patch = network.patch
    return f"{text}{f', on squares of {patch} x {patch} pixels as channels' if patch > 1 else ''}."


def _hiding(hiding: Told) -> str:
    text = f"Each slice is divided into squares, and these at random into {count(hiding.sets, 'set')}; what the "
    text += "network paints in place of each set, which it does not see, makes up the reconstruction. Squares have "
    return f"{text}sides of {listed([str(side) for side in hiding.squares])} pixels, one of them in each step."


def _loss(loss: Told) -> str:
    parts = [
        (loss.squared, "the mean squared difference"),
        (loss.gradient, "1 - gradient magnitude similarity at four scales"),
        (loss.structure, "1 - structural similarity"),
    ]
    terms = [what if weight == 1 else f"{weight:g} times {what}" for weight, what in parts if weight]
    return f"The loss is the sum of {listed(terms)}." if len(terms) > 1 else f"The loss is {terms[0]}."
