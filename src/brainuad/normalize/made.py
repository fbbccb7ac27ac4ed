"""Scans made of healthy ones: a lesion inserted, an anomaly planted, or the whole scan corrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from brainuad.config.datasets import AnyMade, Artificial, Corrupted, Inserted
from brainuad.formats import scans
from brainuad.formats.array_cache import Entry
from brainuad.formats.scans import Scan
from brainuad.images.anomalies import plant_anomaly
from brainuad.images.corrupt_scan import corrupt_scan
from brainuad.images.seeds import rng_for
from brainuad.normalize.grid import Window
from brainuad.normalize.insertion import insert_from_pool
from brainuad.normalize.mask_pool import LesionMaskPool
from brainuad.normalize.source import Preprocessed

T = TypeVar("T", bound=str)


class Maker:
    """Makes the scans of one data set; each depends on the study's seed, the data set's label, the scan and the draw.

    `part`: what models see of the template grid; artificial anomalies have their centres there.
    """

    def __init__(self, made: AnyMade, label: str, seed: int, part: Window):
        self.made, self.label, self.seed, self.part = made, label, seed, part
        self.mask_pool = LesionMaskPool([Path(folder) for folder in made.masks]) if isinstance(made, Inserted) else None
        self._used: dict[str, set[str]] = {}  # masks, by the scan whose earlier draws took them

    def entry(self, row: Scan, draw: int, scan: Preprocessed) -> Entry:
        """Draw number `draw` (from 1 on, in order) of a scan; raises InputError if nothing fits into it."""
        rng = rng_for(self.seed, self.label, row.scan, f"draw-{draw}")
        image, brain, affine = scan.image, scan.brain, scan.affine
        lesion, about = None, {}
        match self.made:
            case Inserted():
                assert self.mask_pool is not None
                used = self._used.setdefault(row.scan, set())
                pool = self.mask_pool.files[row.role]
                unused = [path for path in pool if path.name not in used] or pool
                image, lesion, name = insert_from_pool(scan, unused, rng, self.made.insertion)
                used.add(name)
                about = {"mask": name}
            case Artificial():
                anomaly_type = self._type_of_draw(self.made.anomaly_types, row, draw)
                spacing, seen = float(np.linalg.norm(affine[:3, 0])), self.part.covers(brain.shape)
                image, lesion = plant_anomaly(image, brain, anomaly_type, rng, self.made.anomaly, spacing, seen)
                about = {"mask": anomaly_type, "lesion_type": anomaly_type}
            case Corrupted():
                corruption_type = self._type_of_draw(self.made.corruption_types, row, draw)
                image, brain = corrupt_scan(image, brain, affine, corruption_type, rng, self.made.corruption)
                about = {"lesion_type": corruption_type, "corrupted": "1"}
        made = scans.changed(row, scan=f"{row.scan}_draw-{draw}", dataset=self.label, origin=row.dataset, **about)
        return Entry(made, image, brain, lesion)

    def _type_of_draw(self, types: Sequence[T], row: Scan, draw: int) -> T:
        order = rng_for(self.seed, self.label, row.scan, "kinds").permutation(len(types))
        return types[int(order[(draw - 1) % len(types)])]
