"""Settings of lesions that are inserted into healthy scans; their masks are known."""

from __future__ import annotations

from pydantic import Field, model_validator

from brainuad.config.section import Section


class Insertion(Section):
    """Lesion masks of real patients, blended into registered scans towards the intensity of fluid."""

    contrast: tuple[float, float] = (0.2, 1.0)
    """Range of the strength of a lesion: 0 leaves the tissue unchanged, 1 gives the intensity of fluid. The default
    makes clearly visible lesions, 0.1 to 0.3 subtle ones."""
    mirror: float = Field(0.5, ge=0, le=1)
    """Share of lesions that are mirrored left to right before they are inserted."""
    edge_mm: float = Field(4.0, gt=0)
    """Width of the soft edge in mm, centred on the mask's border: the strength rises from 0 to its full value."""
    uneven: float = Field(0.25, ge=0, le=1)
    """Variation of the strength within one lesion: standard deviation relative to its mean."""
    uneven_mm: float = Field(8.0, gt=0)
    """Smoothness of that variation: sigma of its Gaussian, in mm."""
    texture: float = Field(0.06, ge=0, le=1)
    """Fine texture inside the lesion: standard deviation relative to the distance from fluid to tissue."""
    min_ml: float = Field(0.1, gt=0)
    """Smallest volume of a lesion inside the brain, in ml of the template's space; smaller ones are refused."""

    @model_validator(mode="after")
    def _ordered(self) -> Insertion:
        low, high = self.contrast
        if not 0 < low <= high <= 1:
            raise ValueError(f"contrast must be two rising numbers in (0, 1], not {low:g} and {high:g}")
        return self
