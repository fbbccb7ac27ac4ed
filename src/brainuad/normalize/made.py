"""Scans made of healthy ones: a lesion inserted, an anomaly planted, or the whole scan corrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Making:
    """How the scans of one data set are made of healthy ones.

    `label`: of the data set; `seed`: of the study; `signs`: of inserted lesions in each sequence, by modality; dark
    where a scan is one sequence.
    """

    label: str
    made: AnyMade
    seed: int
    signs: Mapping[str, str] = field(default_factory=dict)


class Maker:
    """Makes the scans of one data set; each depends on the study's seed, the data set's label, the scan and the draw.

    `part`: what models see of the template grid; artificial anomalies have their centres there. In all sequences of a
    session a change has one place and one shape; the random numbers are those of the first sequence in each.
    """

    def __init__(self, making: Making, part: Window):
        self.made, self.label, self.seed, self.part = making.made, making.label, making.seed, part
        self.signs = making.signs
        made = making.made
        self.mask_pool = LesionMaskPool([Path(folder) for folder in made.masks]) if isinstance(made, Inserted) else None
        self._used: dict[str, set[str]] = {}  # masks, by the scan whose earlier draws took them

    def entry(self, row: Scan, draw: int, scan: Preprocessed) -> Entry:
        """Draw number `draw` (from 1 on, in order) of a scan; raises InputError if nothing fits into it."""
        rng = rng_for(self.seed, self.label, row.scan, f"draw-{draw}")
        images, brain, affine = [scan.image, *scan.sequences.values()], scan.brain, scan.affine
        lesion, about = None, {}
        match self.made:
            case Inserted():
                assert self.mask_pool is not None
                used = self._used.setdefault(row.scan, set())
                pool = self.mask_pool.files[row.role]
                unused = [path for path in pool if path.name not in used] or pool
                images, lesion, name = insert_from_pool(scan, unused, rng, self.made.insertion, self.signs)
                used.add(name)
                about = {"mask": name}
            case Artificial():
                anomaly_type, settings = self._type_of_draw(self.made.anomaly_types, row, draw), self.made.anomaly
                spacing, seen = float(np.linalg.norm(affine[:3, 0])), self.part.covers(brain.shape)
                planted = [
                    plant_anomaly(image, brain, anomaly_type, deepcopy(rng), settings, spacing, seen)
                    for image in images
                ]
                images, lesion = [image for image, _ in planted], planted[0][1]
                about = {"mask": anomaly_type, "lesion_type": anomaly_type}
            case Corrupted():
                corruption_type = self._type_of_draw(self.made.corruption_types, row, draw)
                corrupted = [
                    corrupt_scan(image, brain, affine, corruption_type, deepcopy(rng), self.made.corruption)
                    for image in images
                ]
                images, brain = [image for image, _ in corrupted], corrupted[0][1]
                about = {"lesion_type": corruption_type, "corrupted": "1"}
        made = scans.changed(row, scan=f"{row.scan}_draw-{draw}", dataset=self.label, origin=row.dataset, **about)
        others = dict(zip(scan.sequences, images[1:], strict=True))
        return Entry(made, images[0], brain, lesion, sequences=others)

    def _type_of_draw(self, types: Sequence[T], row: Scan, draw: int) -> T:
        order = rng_for(self.seed, self.label, row.scan, "kinds").permutation(len(types))
        return types[int(order[(draw - 1) % len(types)])]
