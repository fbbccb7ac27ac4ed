"""Settings of artificial anomalies in healthy registered scans, and of corruptions of whole scans."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from brainuad.config.section import Section

AnomalyType = Literal["uniform", "noise", "blur", "shift", "deformation", "reflection", "sprite"]
CorruptionType = Literal["rotated", "flipped_axis", "misregistered", "noise", "hole", "cut_slices"]


class Anomaly(Section):
    """Place, size and strength of an artificial anomaly. The unit of strength is the distance from fluid to tissue."""

    shape: Literal["sphere", "blob"] = "blob"
    """A sphere, or a rotated ellipsoid with a rough surface."""
    radius_mm: tuple[float, float] = (6.0, 20.0)
    """Range of the mean radius, in mm."""
    strength: tuple[float, float] = (0.3, 1.0)
    """Range of the strength: the constant of `uniform` and the difference of `sprite` from tissue (each brighter or
    darker at random), the standard deviation of `noise`; for `blur` a Gaussian sigma of that many times 8 mm, for
    `deformation` that share of half the distance to the centre. `shift` and `reflection` have none."""
    edge_mm: float = Field(2.0, gt=0)
    """Width of the soft edge in mm, centred on the mask's border. A `sprite` has a hard edge."""

    @model_validator(mode="after")
    def _ordered(self) -> Anomaly:
        _rising("radius_mm", self.radius_mm, 50)
        _rising("strength", self.strength, 3)
        return self


class ScanCorruption(Section):
    """Strength of the corruptions of scans."""

    shift_mm: tuple[float, float] = (15.0, 30.0)
    """Range of the shift of a `misregistered` scan, in mm."""
    turn_deg: float = Field(20.0, ge=0, le=90)
    """Largest rotation of a `misregistered` scan, about any axis."""
    noise: tuple[float, float] = (0.2, 0.8)
    """Range of the standard deviation of `noise`, relative to the distance from fluid to tissue."""
    hole_mm: tuple[float, float] = (25.0, 40.0)
    """Range of the radius of a `hole`, a ball around a point of the lateral surface of the brain."""
    cut_mm: tuple[float, float] = (10.0, 30.0)
    """Range of the height of the adjacent slices that `cut_slices` removes, in mm."""

    @model_validator(mode="after")
    def _ordered(self) -> ScanCorruption:
        for name, highest in (("shift_mm", 100), ("noise", 10), ("hole_mm", 100), ("cut_mm", 100)):
            _rising(name, getattr(self, name), highest)
        return self


def _rising(name: str, pair: tuple[float, float], highest: float) -> None:
    low, high = pair
    if not 0 < low <= high <= highest:
        raise ValueError(f"{name} must be two rising numbers in (0, {highest:g}], not {low:g} and {high:g}")
