"""Postprocessing: operators on maps (floats) and on masks (bools), as a list in the order they run (models.md 4.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from brainuad.config.section import Section


class Median3d(Section):
    """Median filter of the map."""

    op: Literal["median3d"]
    size: Literal[3, 5, 7] = 5
    """Edge of the cube, in voxels."""


class Gaussian(Section):
    """Gaussian smoothing of the map."""

    op: Literal["gaussian"]
    sigma_mm: float = Field(2.0, gt=0)
    """Sigma, in mm."""


class BrainMaskErode(Section):
    """Set the map to 0 in the outer rim of the brain; values under 0 stay."""

    op: Literal["brain_mask_erode"]
    iterations: int = Field(3, ge=1)
    """Voxels taken off."""
    plane: bool = True
    """In axial slices only, by a cross of 4 neighbours; else by one of 6."""


class HyperintensityPrior(Section):
    """Set the map to 0 where the scan is darker than a quantile of its brain; values under 0 stay (Baur 2021)."""

    op: Literal["hyperintensity_prior"]
    quantile: float = Field(0.9, ge=0, lt=1)
    """Of the volume's brain voxels."""


class Element(Section):
    """A structuring element in axial slices."""

    radius: int = Field(1, ge=1)
    """In voxels."""
    shape: Literal["disk", "square"] = "disk"
    """A square of radius 1 has an edge of 3 voxels."""


class Closing(Element):
    """Binary closing, slice by slice."""

    op: Literal["closing"]


class Opening(Element):
    """Binary opening, slice by slice."""

    op: Literal["opening"]


class Dilation(Element):
    """Binary dilation, slice by slice."""

    op: Literal["dilation"]


class FillHoles(Section):
    """Fill background that the mask encloses."""

    op: Literal["fill_holes"]
    plane: bool = True
    """Slice by slice; else in 3D."""


class AreaOpeningAbs(Section):
    """Drop components of a slice under a number of pixels."""

    op: Literal["area_opening_abs"]
    pixels: int = Field(60, ge=1)
    """Smallest area kept."""


class AreaOpeningRel(Section):
    """Drop components of a slice that are smaller than a share of its largest (Paolini)."""

    op: Literal["area_opening_rel"]
    share: float = Field(0.6, gt=0, le=1)
    """Of the largest component's area."""


class CcMinSize(Section):
    """Drop 3D components (26 neighbours) under a number of voxels."""

    op: Literal["cc_min_size"]
    voxels: int = Field(6, ge=1)
    """Smallest component kept; Baur 2018 drops those under 6."""


class TopK(Section):
    """Keep the k best components."""

    op: Literal["top_k"]
    k: int = Field(1, ge=1)
    """How many."""
    rank: Literal["size", "residual"] = "residual"
    """By voxels, or by the sum of the map (Chatterjee's location of the maximum anomaly, k = 1)."""
    plane: bool = False
    """Of each axial slice; else of the volume."""


MapOperator = Median3d | Gaussian | BrainMaskErode | HyperintensityPrior
MaskOperator = Closing | Opening | FillHoles | AreaOpeningAbs | AreaOpeningRel | CcMinSize | TopK | Dilation
Operator = Annotated[MapOperator | MaskOperator, Field(discriminator="op")]


class Postprocessing(Section):
    """A named postprocessing chain: a file in `config/chains/`, or a list in the study."""

    cite: str | None = None
    """Key of the paper that the chain follows."""
    operators: list[Operator] = Field([])
    """Map operators first, then mask operators; the threshold lies between them."""

    @model_validator(mode="after")
    def _maps_first(self) -> Postprocessing:
        kinds = [isinstance(operator, MapOperator) for operator in self.operators]
        if kinds != sorted(kinds, reverse=True):
            late = self.operators[kinds.index(True, kinds.index(False))].op
            raise ValueError(f"{late} works on maps and must stand before every operator on masks")
        return self

    def on_map(self) -> list[MapOperator]:
        """The operators before the threshold."""
        return [operator for operator in self.operators if isinstance(operator, MapOperator)]

    def on_mask(self) -> list[MaskOperator]:
        """The operators after the threshold."""
        return [operator for operator in self.operators if isinstance(operator, MaskOperator)]

    def locates(self) -> bool:
        """Whether one component of the volume is left: the location of the maximum anomaly."""
        return any(isinstance(step, TopK) and step.k == 1 and not step.plane for step in self.operators)


class HealthyQuantile(Section):
    """Cut at a quantile of the brain voxels of healthy validation scans."""

    rule: Literal["healthy_quantile"]
    quantile: float = Field(0.98, gt=0, lt=1)
    """Share of healthy brain voxels under the cut. Baur 2018 chose 0.98 with patients in view (trap T18)."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"healthy_quantile_{self.quantile:g}"


class ValDice(Section):
    """Cut where pooled Dice is best on the labelled validation scans, which share no subject with the test scans."""

    rule: Literal["val_dice"]

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.rule


class Fixed(Section):
    """A constant from a paper."""

    rule: Literal["fixed"]
    value: float
    """In units of the map."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"fixed_{self.value:g}"


Threshold = Annotated[HealthyQuantile | ValDice | Fixed, Field(discriminator="rule")]
"""How a map becomes a mask. The oracle is no threshold rule: evaluate computes it, under that name alone."""

POSTPROCESSING: TypeAdapter[Postprocessing] = TypeAdapter(Postprocessing)
THRESHOLDS: TypeAdapter[list[Threshold]] = TypeAdapter(list[Threshold])
