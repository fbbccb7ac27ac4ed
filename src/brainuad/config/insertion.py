"""How lesions are planted in healthy scans, so that their true extent is known."""

from __future__ import annotations

from pydantic import Field, model_validator

from brainuad.config.section import Section


class Insertion(Section):
    """Lesion masks of real patients, blended into registered scans towards the intensity of fluid."""

    contrast: tuple[float, float] = (0.2, 1.0)
    """Range of each lesion's strength: 0 leaves the tissue as it is, 1 turns it into fluid. The default makes plain
    lesions, 0.1 to 0.3 subtle ones."""
    mirror: float = Field(0.5, ge=0, le=1)
    """Share of lesions that are mirrored left to right before they are planted."""
    edge_mm: float = Field(4.0, gt=0)
    """Width of the soft edge in mm, centred on the mask's border: strength rises from 0 outside to full inside."""
    uneven: float = Field(0.25, ge=0, le=1)
    """How much the strength varies within one lesion: standard deviation relative to its mean."""
    uneven_mm: float = Field(8.0, gt=0)
    """How far apart the variations of strength lie, in mm (Gaussian sigma)."""
    texture: float = Field(0.06, ge=0, le=1)
    """Fine grain inside the lesion: standard deviation relative to the distance from fluid to tissue."""
    min_ml: float = Field(0.1, gt=0)
    """Lesions of which less than this lies inside the brain are refused, in ml."""

    @model_validator(mode="after")
    def _ordered(self) -> Insertion:
        low, high = self.contrast
        if not 0 < low <= high <= 1:
            raise ValueError(f"contrast must be two rising numbers in (0, 1], not {low:g} and {high:g}")
        return self
