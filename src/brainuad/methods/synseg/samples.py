"""Training samples: slices of a healthy scan with synthetic lesions, drawn by their number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainuad.images.lesions import Window
from brainuad.images.seeds import rng_for
from brainuad.images.synthetic_lesions.kinds import Levels
from brainuad.images.synthetic_lesions.lesions import HealthySlab, Sample, draw_lesions
from brainuad.images.synthetic_lesions.scanner import change_scanner
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.neural import DrawnExamples
from brainuad.methods.shared.slices import levels_with_brain
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
    """Slices of samples of some healthy scans: example n is one slice of one sample, a function of seed and n alone.

    The slices of `settings.mix` samples are shuffled together, each `settings.shown` times, so that those of a batch
    are of different samples. Samples wait in memory (half precision) until all their slices were shown.
    `box`: the part of the grid that is seen; `references`: of each scan, in that part. Raises InputError if no slice
    has enough brain.
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
        self.levels = levels_with_brain(scans.brains, settings.train.min_brain_share)
        self.positions = [(scan, int(level)) for scan, levels in enumerate(self.levels) for level in levels]
        self.intensities = [
            Levels.of(np.asarray(image), brain) for image, brain in zip(scans.images, scans.brains, strict=True)
        ]
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))
        self._drawn: dict[int, Float[np.ndarray, "slices 13 x y"]] = {}

    def __len__(self) -> int:
        """As many slices as the scans have."""
        return len(self.positions)

    def fetch(self, indices: Sequence[int]) -> Float[Tensor, "n 13 x y"]:
        """Inputs, labels and brain of the examples of these numbers, with sides that suit the network."""
        return torch.cat([torch.from_numpy(self._example(number)) for number in indices])

    def place(self, number: int) -> tuple[int, int]:
        """The sample of an example, and which of its slices it is."""
        mix, slices = self.settings.mix, self.settings.slices
        block, at = divmod(number, mix * slices * self.settings.shown)
        if self._order[0] != block:
            order = rng_for([self.seed, block], "order of slices").permutation(mix * slices * self.settings.shown)
            self._order = block, order % (mix * slices)
            self._drawn.clear()
        sample, row = divmod(int(self._order[1][at]), slices)
        return block * mix + sample, row

    def sample(self, number: int) -> tuple[Slab, Sample]:
        """The slab and the lesions of a sample, as the network's inputs are made of them."""
        rng = rng_for([self.seed, number], "synthetic lesions")
        slab = self._slab(rng, rng_for([self.seed, number], "scanner of a sample"))
        return slab, draw_lesions(slab.healthy, rng, self.settings.lesions)

    def _slab(self, rng: np.random.Generator, scanner: np.random.Generator) -> Slab:
        """A scan as another scanner would have made it, the slices that are seen, and those around them."""
        scan, level = self.positions[rng.integers(len(self.positions))]
        other = int(rng.integers(len(self.scans.images)))
        settings, spacing, whole = self.settings, self.scans.spacing, self.levels[scan]
        step = steps_apart(settings.apart_mm, spacing) if settings.slices > 1 else 0
        start = level - step * int(rng.integers(settings.slices))
        levels = np.clip(start + step * np.arange(settings.slices), whole[0], whole[-1]).tolist()
        around, height = reach(settings.inputs, spacing), self.scans.brains[scan].shape[2]
        first, last = max(0, min(levels) - around), min(height, max(levels) + around + 1)
        part, mm = (*self.box[:2], slice(first, last)), float(np.mean(spacing))
        image, brain = np.asarray(self.scans.images[scan][part], np.float32), self.scans.brains[scan][part]
        intensities = self.intensities[scan]
        # before lesions are drawn: what noise would hide of one must not be labelled
        image = change_scanner(image, brain, intensities, mm, scanner, settings.scanner)
        foreign = np.asarray(self.scans.images[other][part], np.float32)
        slab = HealthySlab(image, brain, foreign, intensities, mm, min(levels) - first, max(levels) - first)
        return Slab(scan, slab, levels, first)

    def _example(self, number: int) -> Float[np.ndarray, "1 13 x y"]:
        sample, row = self.place(number)
        if sample not in self._drawn:
            self._drawn[sample] = self._planes(sample).astype(np.float16)
        plane = self._drawn[sample][row : row + 1].astype(np.float32)
        if rng_for([self.seed, number], "mirror of a slice").random() < self.settings.mirror:
            plane = plane[:, :, ::-1]
        return padded(plane, self.settings.network.multiple)

    def _planes(self, number: int) -> Float[np.ndarray, "slices 13 x y"]:
        slab, sample = self.sample(number)
        references = {
            feature: reference.part(np.s_[:, :, slab.levels])
            for feature, reference in self.references[slab.scan].items()
        }
        inputs = inputs_of(
            sample.image, slab.healthy.brain, slab.rows, references, self.settings.inputs, self.scans.spacing
        )
        labels = [np.moveaxis(part[:, :, slab.rows], 2, 0) for part in (sample.dark, sample.bright, slab.healthy.brain)]
        return np.concatenate([inputs, np.stack(labels, axis=1)], axis=1)


def padded(planes: Float[np.ndarray, "n c x y"], multiple: int) -> Float[np.ndarray, "n c x y"]:
    """Slices with 0 behind them, so that both sides are multiples of a number; float32, in one piece."""
    x, y = (-(-side // multiple) * multiple for side in planes.shape[2:])
    whole = np.zeros((*planes.shape[:2], x, y), np.float32)
    whole[:, :, : planes.shape[2], : planes.shape[3]] = planes
    return whole
