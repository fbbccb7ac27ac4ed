"""Settings of synthetic lesions and of changes of the scanner, from which a network learns what lesions look like."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from brainuad.config.section import Section

Kind = Literal["towards", "added", "foreign", "grain", "moved", "texture"]
Range = tuple[float, float]


class SyntheticLesions(Section):
    """Lesions drawn at random into healthy training scans. Lengths are in mm.

    The unit of intensity is the range of a scan: its median minus its 2nd percentile (fluid), in the brain.
    """

    healthy: float = Field(0.15, ge=0, le=1)
    """Share of samples that get no lesion."""
    count: tuple[int, int] = (1, 1)
    """Fewest and most lesions of the other samples."""
    radius_mm: Range = (4.0, 40.0)
    """Smallest and largest radius: that of a sphere of the lesion's volume, before its border is made rough."""
    radius_power: float = Field(1.0, ge=0)
    """The density of radii falls with this power. 0: all radii are alike; 1: each doubling of the radius is as frequent
    as the next; 2 and more: most lesions are small. At the default radii 42, 70 and 88 % are below 5 ml under 1, 2 and
    3."""
    elongation: float = Field(0.5, ge=0)
    """Each of the three axes is longer or shorter by a factor e^u, u uniform up to this number either way."""
    roughness: Range = (0.15, 0.45)
    """Range of the border's roughness at the scale of 0.35 radii: sd of its displacement, in radii."""
    fine_roughness: Range = (0.0, 0.15)
    """The same at the scale of 0.12 radii."""
    edge_mm: Range = (1.4, 10.0)
    """Range of the width over which a lesion fades into healthy tissue."""
    second: float = Field(0.2, ge=0, le=1)
    """Share of lesions with a second part that overlaps the first."""
    selective: float = Field(0.15, ge=0, le=1)
    """Share of lesions that only change voxels of a narrow range of intensity, such as white matter."""
    kinds: dict[Kind, float] = {
        "towards": 0.5,
        "added": 0.2,
        "foreign": 0.1,
        "grain": 0.07,
        "moved": 0.07,
        "texture": 0.06,
    }
    """How often each kind of change is drawn, as relative weights. `towards`: tissue becomes more like another
    intensity; `added`: darker or brighter by a constant; `foreign`: blended with tissue of another scan and place;
    `grain`: fine structure of such tissue on the scan's own coarse one; `moved`: tissue pushed away or drawn in;
    `texture`: blurred, or with texture added."""
    dark: float = Field(0.7, ge=0, le=1)
    """Share of dark lesions among `towards` and `added`."""
    strength: Range = (0.08, 1.0)
    """Range of the strength of `towards`, drawn evenly on a logarithmic scale: 1 gives the other intensity itself."""
    dark_to: Range = (-0.15, 0.7)
    """Range of the intensity that dark lesions of `towards` become like: 0 is fluid, 1 is the median tissue."""
    bright_to: Range = (0.1, 0.8)
    """The same of bright lesions, above the median tissue."""
    shift: Range = (0.05, 0.6)
    """Range of the constant of `added`, drawn evenly on a logarithmic scale."""
    blend: Range = (0.3, 1.0)
    """Range of the share of foreign tissue."""
    move_mm: Range = (2.0, 6.4)
    """Range of the distance by which tissue is `moved`."""
    visible: float = Field(0.026, ge=0)
    """Voxels whose smoothed change is smaller count as healthy: no method could see it."""

    @model_validator(mode="after")
    def _sensible(self) -> SyntheticLesions:
        ordered = ("count", "radius_mm", "roughness", "fine_roughness", "edge_mm", "strength", "dark_to", "bright_to")
        for name in (*ordered, "shift", "blend", "move_mm"):
            low, high = getattr(self, name)
            least = -1.0 if name in ("dark_to", "bright_to") else 0.0
            if not least <= low <= high:
                raise ValueError(f"{name} must be two rising numbers from {least:g}, not {low:g} and {high:g}")
        for name in ("radius_mm", "edge_mm", "strength", "shift", "count"):
            if getattr(self, name)[0] <= 0:
                raise ValueError(f"{name} must be above 0")
        if min(self.kinds.values(), default=0) < 0 or not sum(self.kinds.values()):
            raise ValueError("kinds must be weights of at least 0, one of them above 0")
        return self


class ScannerChanges(Section):
    """Random changes of a whole scan, as another scanner would make them. 0 switches each off."""

    strong: float = Field(0.35, ge=0, le=1)
    """Share of samples that are changed in full; the others are changed a quarter as much."""
    gamma: float = Field(0.12, ge=0)
    """Sd of the logarithm of an exponent of intensity, which leaves the median tissue as it is."""
    gain: float = Field(0.06, ge=0)
    """Sd of the logarithm of a gain that varies quadratically over the head."""
    blur: float = Field(0.3, ge=0, le=1)
    """Share of samples that are blurred, by up to `blur_mm`."""
    blur_mm: float = Field(1.6, ge=0)
    """Largest sigma of that blur, in mm."""
    noisy: float = Field(0.4, ge=0, le=1)
    """Share of samples with noise added, by up to `noise`."""
    noise: float = Field(0.065, ge=0)
    """Largest sd of that noise, in units of the scan's range."""
