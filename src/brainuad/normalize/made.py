"""Scans made of healthy ones: a lesion inserted, an anomaly planted, or the whole scan spoiled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.datasets import AnyMade, Artificial, Inserted, Spoiled
from brainuad.formats import scans
from brainuad.formats.scans import Scan
from brainuad.formats.store import Entry
from brainuad.images.anomalies import plant_anomaly
from brainuad.images.seeds import rng_for
from brainuad.images.spoil import spoil
from brainuad.normalize.bank import Bank
from brainuad.normalize.grid import Window
from brainuad.normalize.insertion import planted

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
Kind = TypeVar("Kind", bound=str)


class Maker:
    """Makes the scans of one data set. Each hangs on the study's seed, the data set's label, the scan and the draw.

    `part`: what models see of the template grid; artificial anomalies have their centres there.
    """

    def __init__(self, made: AnyMade, label: str, seed: int, part: Window):
        self.made, self.label, self.seed, self.part = made, label, seed, part
        self.bank = Bank([Path(folder) for folder in made.masks]) if isinstance(made, Inserted) else None
        self._used: dict[str, set[str]] = {}  # masks, by the scan whose earlier draws took them

    def entry(self, row: Scan, draw: int, image: Image, brain: Mask, affine: Float[np.ndarray, "4 4"]) -> Entry:
        """Draw number `draw` (from 1 on, in order) of a scan; raises InputError if nothing fits into it."""
        rng = rng_for(self.seed, self.label, row.scan, f"draw-{draw}")
        spacing, lesion, about = float(np.linalg.norm(affine[:3, 0])), None, {}
        match self.made:
            case Inserted():
                assert self.bank is not None
                used = self._used.setdefault(row.scan, set())
                image, lesion, name = planted(image, brain, affine, self.bank, row.role, rng, self.made.insertion, used)
                used.add(name)
                about = {"mask": name}
            case Artificial():
                kind = self._kind(self.made.kinds, row, draw)
                seen = self.part.covers(brain.shape)
                image, lesion = plant_anomaly(image, brain, kind, rng, self.made.anomaly, spacing, seen)
                about = {"mask": kind, "kind": kind}
            case Spoiled():
                bad = self._kind(self.made.kinds, row, draw)
                image, brain = spoil(image, brain, affine, bad, rng, self.made.spoiling)
                about = {"kind": bad, "spoiled": "1"}
        made = scans.changed(row, scan=f"{row.scan}_draw-{draw}", dataset=self.label, origin=row.dataset, **about)
        return Entry(made, image, brain, lesion)

    def _kind(self, kinds: Sequence[Kind], row: Scan, draw: int) -> Kind:
        order = rng_for(self.seed, self.label, row.scan, "kinds").permutation(len(kinds))
        return kinds[int(order[(draw - 1) % len(kinds)])]
