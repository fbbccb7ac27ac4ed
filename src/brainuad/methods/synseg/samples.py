"""Training samples: slices of a healthy scan with synthetic lesions, drawn by their number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainuad.errors import InputError
from brainuad.images.lesions import Window
from brainuad.images.seeds import rng_for
from brainuad.images.synthetic_lesions.kinds import Levels
from brainuad.images.synthetic_lesions.lesions import HealthySlab, Sample, draw_lesions
from brainuad.images.synthetic_lesions.scanner import change_scanner
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.neural import DrawnExamples
from brainuad.methods.synseg.inputs import References, inputs_of, reach, steps_apart

if TYPE_CHECKING:
    from brainuad.methods.synseg import Settings

TARGETS = 2
"""Labels of dark and of bright lesions, which follow the inputs; the brain is last."""


@dataclass(frozen=True)
class Slab:
    """What a sample is made of. `levels`: of its slices in the scan, `first` the level of the slab's first slice."""

    scan: int
    healthy: HealthySlab
    levels: list[int]
    first: int

    @property
    def rows(self) -> list[int]:
        """Its slices, counted in the slab."""
        return [level - self.first for level in self.levels]


class SyntheticSamples(DrawnExamples):
    """Samples of some healthy scans.

    `box`: the part of the grid that is seen; `references`: of each scan, in that part.
    Raises InputError if no slice has enough brain.
    """

    def __init__(
        self,
        scans: TrainingScans,
        settings: Settings,
        seed: int,
        box: Window,
        references: Sequence[References],
    ):
        self.scans, self.settings, self.seed, self.box, self.references = scans, settings, seed, box, references
        share = settings.train.min_brain_share
        self.positions = [
            (scan, int(level))
            for scan, brain in enumerate(scans.brains)
            for level in np.flatnonzero(brain.any((0, 1)) & (brain.mean((0, 1)) >= share))
        ]
        if not self.positions:
            do = "lower train.min_brain_share, or look at the brain masks"
            raise InputError("there is nothing to train on", why=f"no slice holds {100 * share:g} % brain", do=do)
        self.intensities = [
            Levels.of(np.asarray(image), brain) for image, brain in zip(scans.images, scans.brains, strict=True)
        ]

    def __len__(self) -> int:
        """Samples that show about as many slices as the scans have."""
        return max(1, len(self.positions) // self.settings.slices)

    def fetch(self, indices: Sequence[int]) -> Float[Tensor, "n 13 x y"]:
        """Inputs, labels and brain of the samples of these numbers, with sides that suit the network."""
        return torch.cat([torch.from_numpy(self._drawn(number)) for number in indices])

    def _slab(self, rng: np.random.Generator) -> Slab:
        """A scan, the slices that are seen, and those around them."""
        scan, level = self.positions[rng.integers(len(self.positions))]
        other = int(rng.integers(len(self.scans.images)))
        height = self.scans.brains[scan].shape[2]
        settings, spacing = self.settings, self.scans.spacing
        step = steps_apart(settings.apart_mm, spacing) if settings.slices > 1 else 0
        start = level - step * int(rng.integers(settings.slices))
        levels = np.clip(start + step * np.arange(settings.slices), 0, height - 1).tolist()
        around = reach(settings.inputs, spacing)
        first, last = max(0, min(levels) - around), min(height, max(levels) + around + 1)
        part = (*self.box[:2], slice(first, last))
        healthy = HealthySlab(
            np.asarray(self.scans.images[scan][part], np.float32),
            self.scans.brains[scan][part],
            np.asarray(self.scans.images[other][part], np.float32),
            self.intensities[scan],
            float(np.mean(spacing)),
            min(levels) - first,
            max(levels) - first,
        )
        return Slab(scan, healthy, levels, first)

    def sample(self, number: int) -> tuple[Slab, Sample]:
        """The slab and the lesions of a sample, as the network's inputs are made of them."""
        rng = rng_for([self.seed, number], "synthetic lesions")
        slab = self._slab(rng)
        return slab, draw_lesions(slab.healthy, rng, self.settings.lesions)

    def _drawn(self, number: int) -> Float[np.ndarray, "n 13 x y"]:
        slab, sample = self.sample(number)
        rng = rng_for([self.seed, number], "scanner of a sample")
        healthy, rows = slab.healthy, slab.rows
        image = change_scanner(sample.image, healthy.brain, healthy.levels, healthy.spacing, rng, self.settings.scanner)
        references = {
            feature: reference.part(np.s_[:, :, slab.levels])
            for feature, reference in self.references[slab.scan].items()
        }
        inputs = inputs_of(image, healthy.brain, rows, references, self.settings.inputs, self.scans.spacing)
        labels = [np.moveaxis(part[:, :, rows], 2, 0) for part in (sample.dark, sample.bright, healthy.brain)]
        whole = np.concatenate([inputs, np.stack(labels, axis=1)], axis=1)
        if rng.random() < self.settings.mirror:
            whole = whole[:, :, ::-1]
        return padded(whole, self.settings.network.multiple)


def padded(planes: Float[np.ndarray, "n c x y"], multiple: int) -> Float[np.ndarray, "n c x y"]:
    """Slices with 0 behind them, so that both sides are multiples of a number; float32, in one piece."""
    x, y = (-(-side // multiple) * multiple for side in planes.shape[2:])
    whole = np.zeros((*planes.shape[:2], x, y), np.float32)
    whole[:, :, : planes.shape[2], : planes.shape[3]] = planes
    return whole
