"""The threshold rule by which all models mark the same volume of healthy scans."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from brainuad.config.section import Section


class Burden(Section):
    """Equal burden: the lowest threshold at which healthy scans have no more false positives than a set volume.

    Mean over the people of the calibration scans, or without any of the validation scans; before mask operators.
    """

    rule: Literal["burden"]
    ml: float = Field(5.0, gt=0)
    """False-positive volume per healthy scan, in ml of the scan's own space."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"burden_{self.ml:g}_ml"

    @property
    def aims_at(self) -> None:
        """It aims at a volume, not at a share of voxels."""
