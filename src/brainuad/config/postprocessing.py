"""Postprocessing: a list of operators on maps, then on masks, in the order they run; and threshold rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from brainuad.config.burden import Burden, Components
from brainuad.config.section import Section

RENAMED_OPERATORS = {
    "brain_mask_erode": "erode_brain_mask",
    "area_opening_abs": "area_opening",
    "area_opening_rel": "relative_area_opening",
    "cc_min_size": "remove_small_components",
    "top_k": "top_components",
}
"""Operators that older study files know by another name."""
IN_VOXELS = {
    "median3d": ("size", "size_mm", "5 voxels of 1 mm are `size_mm: 5`"),
    "erode_brain_mask": ("voxels", "depth_mm", "3 voxels of 1 mm are `depth_mm: 3`"),
    "closing": ("radius", "radius_mm", "2 pixels of 1 mm are `radius_mm: 2`"),
    "opening": ("radius", "radius_mm", "2 pixels of 1 mm are `radius_mm: 2`"),
    "dilation": ("radius", "radius_mm", "2 pixels of 1 mm are `radius_mm: 2`"),
    "area_opening": ("min_pixels", "min_mm2", "60 pixels of 1 mm are `min_mm2: 60`"),
    "remove_small_components": ("min_voxels", "min_ml", "6 voxels of 1 mm are `min_ml: 0.006`"),
}
"""By operator the key of older study files that counted voxels, the key in mm or ml that took its place, an example."""


class Median3d(Section):
    """Median filter of the map."""

    op: Literal["median3d"]
    size_mm: float = Field(5.0, gt=0, le=15)
    """Edge of the cube, in mm; the nearest odd number of voxels."""


class Gaussian(Section):
    """Gaussian smoothing of the map."""

    op: Literal["gaussian"]
    sigma_mm: float = Field(2.0, gt=0)
    """Standard deviation, in mm."""


class ErodeBrainMask(Section):
    """Set the map to 0 in the outer rim of the brain; negative values stay."""

    op: Literal["erode_brain_mask"]
    depth_mm: float = Field(3.0, gt=0)
    """Depth of the rim, in mm; the nearest number of voxels. Where the brain leaves the grid, at the ends of a slab,
    there is no rim."""
    per_slice: bool = True
    """Erosion in axial slices (4 neighbours); else in 3D (6 neighbours)."""


class HyperintensityPrior(Section):
    """Set the map to 0 where the scan is darker than a quantile of its brain; negative values stay (Baur 2021)."""

    op: Literal["hyperintensity_prior"]
    quantile: float = Field(0.9, ge=0, lt=1)
    """Of the volume's brain voxels."""


class Footprint(Section):
    """A structuring element in axial slices."""

    radius_mm: float = Field(2.0, gt=0)
    """In mm; the nearest number of pixels."""
    shape: Literal["disk", "square"] = "disk"
    """A square with a radius of 1 pixel has an edge of 3."""


class Closing(Footprint):
    """Binary closing, slice by slice."""

    op: Literal["closing"]


class Opening(Footprint):
    """Binary opening, slice by slice."""

    op: Literal["opening"]


class Dilation(Footprint):
    """Binary dilation, slice by slice."""

    op: Literal["dilation"]


class FillHoles(Section):
    """Fill background that the mask encloses."""

    op: Literal["fill_holes"]
    per_slice: bool = True
    """In axial slices; else in 3D."""


class AreaOpening(Section):
    """Remove components of an axial slice (8 neighbours) under an area."""

    op: Literal["area_opening"]
    min_mm2: float = Field(60.0, gt=0)
    """Smallest area kept, in mm²."""


class RelativeAreaOpening(Section):
    """Remove components of an axial slice (8 neighbours) that are smaller than a share of its largest (Paolini)."""

    op: Literal["relative_area_opening"]
    min_share: float = Field(0.6, gt=0, le=1)
    """Smallest area kept, as a share of the largest component's."""


class RemoveSmallComponents(Section):
    """Remove 3D components (26 neighbours) under a volume."""

    op: Literal["remove_small_components"]
    min_ml: float = Field(0.08, gt=0)
    """Smallest component kept, in ml of the template's space."""


class TopComponents(Section):
    """Keep only the highest-ranked components."""

    op: Literal["top_components"]
    count: int = Field(1, ge=1)
    """How many."""
    rank_by: Literal["size", "map_sum"] = "map_sum"
    """Voxels, or the sum of the map (Chatterjee's location of the maximum anomaly, with a count of 1)."""
    per_slice: bool = False
    """Of each axial slice; else of the volume."""


MapOperator = Median3d | Gaussian | ErodeBrainMask | HyperintensityPrior
MaskOperator = (
    Closing | Opening | FillHoles | AreaOpening | RelativeAreaOpening | RemoveSmallComponents | TopComponents | Dilation
)
Operator = Annotated[MapOperator | MaskOperator, Field(discriminator="op")]


class Postprocessing(Section):
    """A named postprocessing: a file in `config/postprocessing/`, or a list of operators in the study."""

    cite: str | None = None
    """Key of the paper that it follows."""
    operators: list[Operator] = Field([])
    """Map operators first, then mask operators; the threshold is applied between them."""

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, content: Any) -> Any:
        operators = content.get("operators") if isinstance(content, dict) else None
        for operator in operators if isinstance(operators, list) else []:
            old = operator.get("op") if isinstance(operator, dict) else None
            if old in RENAMED_OPERATORS:
                raise ValueError(f"the operator {old} is now {RENAMED_OPERATORS[old]}; docs/settings.md has its keys")
            voxels, now, example = IN_VOXELS.get(str(old), ("", "", ""))
            if voxels and voxels in operator:
                raise ValueError(f"{old}: {voxels} counted voxels and is now {now}: {example}")
        return content

    @model_validator(mode="after")
    def _maps_first(self) -> Postprocessing:
        on_maps = [isinstance(operator, MapOperator) for operator in self.operators]
        if on_maps != sorted(on_maps, reverse=True):
            late = self.operators[on_maps.index(True, on_maps.index(False))].op
            raise ValueError(f"{late} works on maps and must come before every operator on masks")
        return self

    def on_map(self) -> list[MapOperator]:
        """The operators before the threshold."""
        return [operator for operator in self.operators if isinstance(operator, MapOperator)]

    def on_mask(self) -> list[MaskOperator]:
        """The operators after the threshold."""
        return [operator for operator in self.operators if isinstance(operator, MaskOperator)]

    def locates(self) -> bool:
        """Whether one component of the volume is left: the location of the maximum anomaly."""
        return any(
            isinstance(step, TopComponents) and step.count == 1 and not step.per_slice for step in self.operators
        )


class HealthyQuantile(Section):
    """A quantile of the scored brain voxels of healthy scans.

    The voxels of all calibration scans, or without any of all validation scans, count together.
    """

    rule: Literal["healthy_quantile"]
    quantile: float = Field(0.98, gt=0, lt=1)
    """Share of healthy brain voxels under the threshold. Baur 2018 chose 0.98 with patients in view."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"healthy_quantile_{self.quantile:g}"

    @property
    def aims_at(self) -> float:
        """The share of healthy voxels above the threshold that the rule aims at."""
        return 1 - self.quantile


class Conformal(Section):
    """The lowest threshold that keeps the false-positive share of new healthy scans at a level.

    By conformal risk control [@angelopoulos2024]. It holds on average, for people exchangeable with those behind it,
    and needs many healthy calibration scans, or validation scans.
    """

    rule: Literal["conformal"]
    false_positive_share: float = Field(0.02, gt=0, lt=1)
    """The level: share of a healthy scan's scored voxels above the threshold. n people allow largest_share / (n + 1)
    and above: 0.02 needs 49."""
    largest_share: float = Field(1.0, gt=0, le=1)
    """A scan's share counts at most this much, so that fewer scans suffice: with 0.1, 0.02 needs 4. The level then
    holds for the share cut off there."""

    @model_validator(mode="after")
    def _bound_is_above_the_level(self) -> Conformal:
        if self.largest_share <= self.false_positive_share:
            raise ValueError("largest_share must be above false_positive_share, else every threshold would do")
        return self

    @property
    def label(self) -> str:
        """The name in tables."""
        bound = f"_of_{self.largest_share:g}" if self.largest_share < 1 else ""
        return f"conformal_{self.false_positive_share:g}{bound}"

    @property
    def aims_at(self) -> float:
        """The share of healthy voxels above the threshold that the rule aims at."""
        return self.false_positive_share


class ValDice(Section):
    """The threshold with the best pooled Dice on labelled scans, which share no subject with the test."""

    rule: Literal["val_dice"]

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.rule

    @property
    def aims_at(self) -> None:
        """It aims at no share of healthy voxels."""


class Fixed(Section):
    """A constant from a paper."""

    rule: Literal["fixed"]
    value: float
    """In units of the map."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"fixed_{self.value:g}"

    @property
    def aims_at(self) -> None:
        """It aims at no share of healthy voxels."""


Threshold = Annotated[HealthyQuantile | Conformal | Burden | Components | ValDice | Fixed, Field(discriminator="rule")]
"""How a map becomes a mask. The oracle is no threshold rule: only evaluate computes it, under that name."""
ThresholdRole = Literal["validation", "calibration"]
"""Roles whose scans thresholds may be drawn from."""

POSTPROCESSING: TypeAdapter[Postprocessing] = TypeAdapter(Postprocessing)
THRESHOLDS: TypeAdapter[list[Threshold]] = TypeAdapter(list[Threshold])
