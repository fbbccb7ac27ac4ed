"""Scans made of healthy ones: a lesion inserted, an anomaly planted, or the whole scan spoiled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.datasets import AnyMade, Artificial, Corrupted, Inserted
from brainuad.formats import scans
from brainuad.formats.array_cache import Entry
from brainuad.formats.scans import Scan
from brainuad.images.anomalies import plant_anomaly
from brainuad.images.corrupt_scan import corrupt_scan
from brainuad.images.seeds import rng_for
from brainuad.normalize.grid import Window
from brainuad.normalize.insertion import planted
from brainuad.normalize.mask_pool import LesionMaskPool

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
T = TypeVar("T", bound=str)


class Maker:
    """Makes the scans of one data set. Each hangs on the study's seed, the data set's label, the scan and the draw.

    `part`: what models see of the template grid; artificial anomalies have their centres there.
    """

    def __init__(self, made: AnyMade, label: str, seed: int, part: Window):
        self.made, self.label, self.seed, self.part = made, label, seed, part
        self.mask_pool = LesionMaskPool([Path(folder) for folder in made.masks]) if isinstance(made, Inserted) else None
        self._used: dict[str, set[str]] = {}  # masks, by the scan whose earlier draws took them

    def entry(self, row: Scan, draw: int, image: Image, brain: Mask, affine: Float[np.ndarray, "4 4"]) -> Entry:
        """Draw number `draw` (from 1 on, in order) of a scan; raises InputError if nothing fits into it."""
        rng = rng_for(self.seed, self.label, row.scan, f"draw-{draw}")
        spacing, lesion, about = float(np.linalg.norm(affine[:3, 0])), None, {}
        match self.made:
            case Inserted():
                assert self.mask_pool is not None
                used = self._used.setdefault(row.scan, set())
                image, lesion, name = planted(
                    image, brain, affine, self.mask_pool, row.role, rng, self.made.insertion, used
                )
                used.add(name)
                about = {"mask": name}
            case Artificial():
                kind = self._type_of_draw(self.made.anomaly_types, row, draw)
                seen = self.part.covers(brain.shape)
                image, lesion = plant_anomaly(image, brain, kind, rng, self.made.anomaly, spacing, seen)
                about = {"mask": kind, "lesion_type": kind}
            case Corrupted():
                bad = self._type_of_draw(self.made.corruption_types, row, draw)
                image, brain = corrupt_scan(image, brain, affine, bad, rng, self.made.corruption)
                about = {"lesion_type": bad, "corrupted": "1"}
        made = scans.changed(row, scan=f"{row.scan}_draw-{draw}", dataset=self.label, origin=row.dataset, **about)
        return Entry(made, image, brain, lesion)

    def _type_of_draw(self, types: Sequence[T], row: Scan, draw: int) -> T:
        order = rng_for(self.seed, self.label, row.scan, "kinds").permutation(len(types))
        return types[int(order[(draw - 1) % len(types)])]
