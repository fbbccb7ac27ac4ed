"""Maps of other models of the study, combined scan by scan.

Source: docs/methods/ensemble.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from brainuad.config.model import Combination, MapSettings, MethodSettings
from brainuad.config.told import Told, in_words, listed
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Method, Sign, check_finite

OWN_UNITS = "(map - median) / (1.4826 MAD) over the scored brain of the scan"
COMBINED: dict[Combination, str] = {
    "mean_asinh": f"mean of asinh(z / 2) over the maps of the members, where z = {OWN_UNITS}",
    "rank": "mean over the members of the share of the scan's scored voxels that a voxel exceeds, less a half",
    "maximum": f"largest z of the members at each voxel, where z = {OWN_UNITS}",
}
"""In the methods section."""


class CombinedMap(MapSettings):
    """How the maps of the members become one."""

    by: Combination = "mean_asinh"
    """`mean_asinh`: mean of asinh(z / 2), z = (map - median) / (1.4826 MAD) of the scan's scored brain. `rank`: mean of
    the ranks of a voxel in its scan. `maximum`: the largest z."""
    weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    """By member, for the means; a member that is not named has the weight 1."""

    softening: float = Field(2.0, gt=0)
    """Of `mean_asinh`, the 2 in asinh(z / 2): z-scores far above it count by their logarithm."""
    alone: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Members that are no part of the mean, with a factor: where the z of one times its factor is larger than the z of
    the mean, it is the map. For a member that finds what the others smooth away."""

    @model_validator(mode="after")
    def _weighs_a_mean(self) -> CombinedMap:
        if self.by == "maximum" and self.weights:
            raise ValueError("weights: a maximum has none; set by to mean_asinh or rank, or take them out")
        if self.by == "maximum" and self.alone:
            raise ValueError("alone: in a maximum every member counts alone; set by to mean_asinh or rank")
        if both := sorted({*self.weights} & {*self.alone}):
            raise ValueError(f"{both[0]} is in weights and in alone")
        return self

    def describe(self, lesion_sign: str) -> list[str]:  # noqa: ARG002 - the members' maps have the sign
        told = Told(self)
        weighted = f", with the weights {in_words(told.weights)} (else 1)" if told.weights else ""
        softened = COMBINED[told.by].replace("z / 2", f"z / {told.softening:g}")
        alone = listed([f"{factor:g} z of `{name}`" for name, factor in told.alone.items()])
        among = " of the members but those that count alone" if alone else ""
        beside = f" Where {alone} is larger than the z of that mean{among}, it took its place." if alone else ""
        return [f"is the {softened}{weighted}.{beside}", *told.rest()]


class Settings(MethodSettings):
    """Maps of other models of the study, combined scan by scan; no training."""

    learns: ClassVar[bool] = False
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False

    family: Literal["ensemble"]
    of: list[str] = []
    """Labels of models of the study; their maps of the same seed are combined. A study must give these, a model file
    gives `members` instead."""
    members: dict[str, Any] = Field({}, exclude=True)
    """In a model file: the models that it is made of, each the name of a model file or `{use, set}`. A study with this
    model gets them as models `<label>_<name>`; one that it has already, under whatever label, is taken instead. `null`
    leaves one out."""
    map: CombinedMap = CombinedMap()

    @model_validator(mode="after")
    def _weighs_its_members(self) -> Settings:
        if self.of and self.modalities:
            raise ValueError("modalities: an ensemble sees the maps of its members; give it to these")
        if len(set(self.of)) < len(self.of):
            raise ValueError("of: one is listed twice; give it a weight instead")
        for key, named in (("weights", self.map.weights), ("alone", self.map.alone)):
            if self.of and (others := [name for name in named if name not in self.of]):
                raise ValueError(f"map.{key}: {others[0]} is none of its members, {listed(self.of)}")
        if self.of and not {*self.of} - {*self.map.alone}:
            raise ValueError("map.alone: a member must be left for the mean")
        return self

    def member_labels(self) -> list[str]:
        return self.of

    def describe(self) -> list[str]:
        return [f"an ensemble of {listed([f'`{label}`' for label in self.of])}", "It needs no training."]

    @classmethod
    def method_class(cls) -> type[Any]:
        return Ensemble


class Ensemble(Method):
    """Map: that of several models, each in units of its own scan."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def combined_map(self, maps: Sequence[Image], brain: Brain, scored: Brain) -> Image:
        from brainuad.methods.shared.per_scan import combined, with_alone  # late: settings are read without it

        settings, of = self.settings.map, self.settings.of
        named = list(zip(of, maps, strict=True))
        parts = [(name, each) for name, each in named if name not in settings.alone]
        # a model of a sequence that the session lacks has nothing to say
        parts = [(name, each) for name, each in parts if np.ptp(each) > 0] or parts
        weights = [settings.weights.get(name, 1.0) for name, _ in parts]
        mean = combined([each for _, each in parts], brain, scored, settings.by, weights, settings.softening)
        if settings.alone:
            alone = [(each, settings.alone[name]) for name, each in named if name in settings.alone]
            mean = with_alone(mean, alone, brain, scored)
        return check_finite(mean, "the ensemble")

    def anomaly_map(
        self,
        image: Image,  # noqa: ARG002
        brain: Brain,  # noqa: ARG002
        spacing: tuple[float, float, float],  # noqa: ARG002
        sign: Sign,  # noqa: ARG002
    ) -> Image:
        why = "its map is made of theirs, by `combined_map`"
        raise InputError("an ensemble maps no scan without its members", why=why, do="infer its members first")
