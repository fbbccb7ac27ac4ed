"""The threshold rules by which all models mark the same volume, or as many places, of healthy scans."""

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


class Components(Section):
    """Equal false alarms: the lowest threshold at which healthy scans have no more components than a set number.

    Searched from above until the number is first exceeded. Mean over the people of the calibration scans, or without
    any of the validation scans; before mask operators.
    """

    rule: Literal["components"]
    per_scan: float = Field(1.0, gt=0)
    """Components per healthy scan (3D, 26 neighbours)."""
    min_ml: float = Field(0.08, ge=0)
    """Volume from which a component counts, in ml of the scan's own space."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"components_{self.per_scan:g}"

    @property
    def aims_at(self) -> None:
        """It aims at a number of components, not at a share of voxels."""
