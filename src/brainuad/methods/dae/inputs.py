"""What the network sees of a scan: the scan itself and, if the settings say so, what healthy scans are like there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, TrainingScans
from brainuad.methods.shared.box import Box, mirrored, stacked
from brainuad.methods.shared.healthy_atlas import LARGEST_INPUT, Feature, HealthyAtlas, Reference
from brainuad.methods.shared.room import IN_MEMORY, room
from brainuad.methods.shared.slices import SLICES_AT_ONCE, axial_level, levels_with_brain

if TYPE_CHECKING:
    from brainuad.methods.dae import Extra, Settings

SCAN = Feature()
"""What the atlas is made of: scans as they are."""
ATLAS: tuple[Extra, ...] = ("z", "mean")
"""Inputs that need the atlas."""


@dataclass(frozen=True)
class Channels:
    """From the channels of an example (scan, brain, and where needed mean and 1 / sd of the atlas) to the network's."""

    extras: Sequence[Extra]
    mirror_shift: int

    def seen(self, batch: Float[Tensor, "n c x y"], noise: Tensor | float = 0.0) -> Float[Tensor, "n d x y"]:
        """The scan with the noise, and what follows from it: the noise is in the z-score and the mirror image, too."""
        scan, brain = batch[:, :1] + noise, batch[:, 1:2]
        inputs = [scan]
        for extra in self.extras:
            match extra:
                case "z":
                    z = brain * (scan - batch[:, 2:3]) * batch[:, 3:4]
                    inputs.append(z.clamp(-LARGEST_INPUT, LARGEST_INPUT) / 2)
                case "mean":
                    inputs.append(batch[:, 2:3])
                case "mirror":
                    inputs.append(mirrored(scan, self.mirror_shift))
        return torch.cat(inputs, dim=1)


class AtlasView:
    """A scan as axial slices in a box, with what healthy scans are like. `observe` learns both from training scans."""

    def __init__(self, settings: Settings):
        self.settings, self.multiple = settings, settings.network.multiple
        self.uses_atlas = any(extra in ATLAS for extra in settings.inputs)
        self.atlas = HealthyAtlas([SCAN], settings.atlas)
        self.box: Box | None = None
        self.spacing = (1.0, 1.0, 1.0)
        self.observed: TrainingScans | None = None

    def observe(self, training: TrainingScans) -> None:
        """Fit box and atlas. Raises InputError for an atlas of too few scans."""
        self.observed = training
        self.box, self.spacing = Box.around(training.brains, self.multiple), training.spacing
        if self.uses_atlas:
            self.atlas.fit(training)

    def channels(self, box: Box | None = None) -> Channels:
        """How examples in a box become inputs."""
        return Channels(self.settings.inputs, (box or self._box()).mirror_shift)

    def examples(self, scans: TrainingScans) -> BoxExamples:
        """Slices with enough brain. Scans that were observed are each compared with the other ones."""
        return BoxExamples(scans, self, left_out=scans is self.observed)

    def inputs(
        self, image: Image, brain: Brain, left_out: bool = False
    ) -> Iterator[tuple[tuple[Box, np.ndarray], Float[Tensor, "n c x y"]]]:
        """Slices with brain, some at once, with their box and levels. `left_out`: the scan is one of the atlas."""
        levels = np.flatnonzero(brain.any(axis=(0, 1)))
        box, reference = self._box().holding(brain, self.multiple), self.reference(image, brain, left_out)
        for chunk in np.array_split(levels, range(SLICES_AT_ONCE, len(levels), SLICES_AT_ONCE)):
            if len(chunk):
                yield (box, chunk), self.example(image, brain, reference, chunk, box)

    def reference(self, image: Image, brain: Brain, left_out: bool) -> Reference | None:
        """The healthy scans that a scan is compared with, if it is; all but itself where it is `left_out`."""
        if not self.uses_atlas:
            return None
        if left_out:
            return self.atlas.reference_without(np.asarray(image, np.float32), brain, self.spacing, SCAN)
        return self.atlas.reference(SCAN, self.spacing)

    def channels_and_sides(self) -> tuple[int, int, int]:
        """Shape of an example."""
        return (4 if self.uses_atlas else 2, *self._box().sides)

    def example(
        self, image: Image, brain: Brain, reference: Reference | None, levels: np.ndarray, box: Box | None = None
    ) -> Float[Tensor, "n c x y"]:
        """The channels of examples: scan, brain, and of a reference the mean and 1 / sd (0 where it is unknown)."""
        volumes = [image, brain]
        if reference is not None:
            inverse = np.divide(1, reference.sd, out=np.zeros_like(reference.sd), where=reference.known)
            volumes += [reference.mean, inverse]
        box = box or self._box()
        return stacked([box.cut(volume, levels) for volume in volumes])

    def insert(self, output: Float[Tensor, "n 1 x y"], position: tuple[Box, np.ndarray], image: Image) -> None:
        """Write an output of the network into a scan."""
        box, levels = position
        box.insert(output, levels, image)

    insert_difference = insert

    def state(self) -> dict[str, np.ndarray]:
        """Box, voxel size and atlas."""
        box = self._box()
        own = self.atlas.state()
        own["box"], own["spacing"] = np.array([*box.sides, *box.grid], np.int32), np.array(self.spacing)
        return own

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned; raises InputError if a part is missing."""
        if "box" not in state or "spacing" not in state:
            raise InputError("the bundle lacks the box of the network's input", do="train the model again")
        x, y, *grid = (int(number) for number in state["box"])
        self.box = Box((x, y), (grid[0], grid[1]))
        self.spacing = (float(state["spacing"][0]), float(state["spacing"][1]), float(state["spacing"][2]))
        if self.uses_atlas:
            self.atlas.load(state)

    def _box(self) -> Box:
        if self.box is None:
            raise InputError("dae has seen no scan yet", do="train it first")
        return self.box


class BoxExamples:
    """Slices with a share of brain of `train.min_brain_share` or more; kept if small, or if scans are left out.

    Raises InputError if there is no such slice.
    """

    def __init__(self, scans: TrainingScans, view: AtlasView, left_out: bool):
        self.scans, self.view = scans, view
        self.levels = levels_with_brain(scans.brains, view.settings.train.min_brain_share)
        self.positions = [(scan, level) for scan, levels in enumerate(self.levels) for level in levels]
        self.kept: Tensor | None = None
        box = view.channels_and_sides()
        if (left_out and view.uses_atlas) or len(self) * math.prod(box) * 4 <= IN_MEMORY:
            self.kept = torch.from_numpy(room((len(self), *box), np.float32))
            start = 0
            for image, brain, levels in zip(scans.images, scans.brains, self.levels, strict=True):
                reference = view.reference(image, brain, left_out) if len(levels) else None
                self.kept[start : start + len(levels)] = view.example(image, brain, reference, levels)
                start += len(levels)

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.positions)

    def fetch(self, indices: Sequence[int]) -> Float[Tensor, "n c x y"]:
        """The channels of these slices."""
        if self.kept is not None:
            return self.kept[indices]
        return torch.cat([self._read(*self.positions[index]) for index in indices])

    def _read(self, scan: int, level: int) -> Float[Tensor, "1 c x y"]:
        one = np.s_[:, :, level : level + 1]
        image, brain = axial_level(self.scans.images, scan, level)[:, :, None], self.scans.brains[scan]
        reference = self.view.reference(image, brain, left_out=False)
        return self.view.example(image, brain[one], reference and reference.part(one), np.array([0]))
