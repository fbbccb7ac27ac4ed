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
from brainuad.methods.shared.sequences import one_sequence
from brainuad.methods.shared.slices import SLICES_AT_ONCE, axial_level, levels_with_brain

if TYPE_CHECKING:
    from brainuad.methods.dae import Extra, Settings

SCAN = Feature()
"""What the atlas is made of: scans as they are."""
ATLAS: tuple[Extra, ...] = ("z", "mean")
"""Inputs that need the atlas."""


@dataclass(frozen=True)
class Channels:
    """From the channels of an example to those of the network.

    An example has the brain, then of each sequence the scan, and where needed mean and 1 / sd of its atlas.
    """

    extras: Sequence[Extra]
    mirror_shift: int
    sequences: int = 1

    def seen(self, batch: Float[Tensor, "n c x y"], noise: Tensor | None = None) -> Float[Tensor, "n d x y"]:
        """The scan with the noise, (n, sequences, x, y), and what follows from it.

        The noise is in the z-score and in the mirror image, too.
        """
        brain, inputs = batch[:, :1], []
        for number, part in enumerate(batch[:, 1:].chunk(self.sequences, dim=1)):
            scan = part[:, :1] if noise is None else part[:, :1] + noise[:, number : number + 1]
            inputs.append(scan)
            for extra in self.extras:
                match extra:
                    case "z":
                        z = brain * (scan - part[:, 1:2]) * part[:, 2:3]
                        inputs.append(z.clamp(-LARGEST_INPUT, LARGEST_INPUT) / 2)
                    case "mean":
                        inputs.append(part[:, 1:2])
                    case "mirror":
                        inputs.append(mirrored(scan, self.mirror_shift))
        return torch.cat(inputs, dim=1)

    def without(self, batch: Float[Tensor, "n c x y"], there: Float[Tensor, "n sequences"]) -> Float[Tensor, "n c x y"]:
        """Examples in which some sequences are missing: all their channels are 0. `there`: 1, or 0 where it is not."""
        of_each = (batch.shape[1] - 1) // self.sequences
        kept = torch.cat([there.new_ones(len(there), 1), there.repeat_interleave(of_each, dim=1)], dim=1)
        return batch * kept[..., None, None]


class AtlasView:
    """A scan as axial slices in a box, with what healthy scans are like. `observe` learns both from training scans.

    `sequences`: names of several of a session, images (x, y, z, c); none for scans (x, y, z).
    """

    def __init__(self, settings: Settings, sequences: Sequence[str] = ()):
        self.settings, self.multiple = settings, settings.network.multiple
        self.uses_atlas = any(extra in ATLAS for extra in settings.inputs)
        self.atlases = {name: HealthyAtlas([SCAN], settings.atlas) for name in sequences or [""]}
        self.box: Box | None = None
        self.spacing = (1.0, 1.0, 1.0)
        self.observed: TrainingScans | None = None

    def observe(self, training: TrainingScans) -> None:
        """Fit box and atlas. Raises InputError for an atlas of too few scans."""
        self.observed = training
        self.box, self.spacing = Box.around(training.brains, self.multiple), training.spacing
        if self.uses_atlas:
            for number, (name, atlas) in enumerate(self.atlases.items()):
                atlas.fit(one_sequence(training, number) if name else training)

    def channels(self, box: Box | None = None) -> Channels:
        """How examples in a box become inputs."""
        return Channels(self.settings.inputs, (box or self._box()).mirror_shift, len(self.atlases))

    def examples(self, scans: TrainingScans) -> BoxExamples:
        """Slices with enough brain. Scans that were observed are each compared with the other ones."""
        return BoxExamples(scans, self, left_out=scans is self.observed)

    def inputs(
        self, image: Image, brain: Brain, left_out: bool = False
    ) -> Iterator[tuple[tuple[Box, np.ndarray], Float[Tensor, "n c x y"]]]:
        """Slices with brain, some at once, with their box and levels. `left_out`: the scan is one of the atlas."""
        levels = np.flatnonzero(brain.any(axis=(0, 1)))
        box, references = self._box().holding(brain, self.multiple), self.references(image, brain, left_out)
        for chunk in np.array_split(levels, range(SLICES_AT_ONCE, len(levels), SLICES_AT_ONCE)):
            if len(chunk):
                yield (box, chunk), self.example(image, brain, references, chunk, box)

    def references(self, image: Image, brain: Brain, left_out: bool) -> list[Reference]:
        """The healthy scans that each sequence is compared with, if it is; all but itself where it is `left_out`."""
        if not self.uses_atlas:
            return []
        pairs = zip(self.atlases.values(), each_sequence(image), strict=True)
        if left_out:
            return [
                atlas.reference_without(np.asarray(each, np.float32), brain, self.spacing, SCAN)
                for atlas, each in pairs
            ]
        return [atlas.reference(SCAN, self.spacing) for atlas, _ in pairs]

    def channels_and_sides(self) -> tuple[int, int, int]:
        """Shape of an example."""
        return (1 + len(self.atlases) * (3 if self.uses_atlas else 1), *self._box().sides)

    def example(
        self,
        image: Image,
        brain: Brain,
        references: Sequence[Reference],
        levels: np.ndarray,
        box: Box | None = None,
    ) -> Float[Tensor, "n c x y"]:
        """The channels of examples: brain, then scan and of its reference mean and 1 / sd (0 where it is unknown).

        All channels of a sequence that is 0 everywhere, because it is missing, are 0.
        """
        volumes: list[np.ndarray] = [brain]
        for number, each in enumerate(each_sequence(image)):
            of_sequence = [each]
            if references:
                reference = references[number]
                inverse = np.divide(1, reference.sd, out=np.zeros_like(reference.sd), where=reference.known)
                of_sequence += [reference.mean, inverse]
            missing = len(self.atlases) > 1 and not each.any()
            volumes += [np.zeros_like(part) for part in of_sequence] if missing else of_sequence
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
        own: dict[str, np.ndarray] = {}
        for name, atlas in self.atlases.items():
            own |= atlas.state(_prefix(name))
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
            for name, atlas in self.atlases.items():
                atlas.load(state, _prefix(name))

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
                references = view.references(image, brain, left_out) if len(levels) else []
                self.kept[start : start + len(levels)] = view.example(image, brain, references, levels)
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
        references = [each.part(one) for each in self.view.references(image, brain, left_out=False)]
        return self.view.example(image, brain[one], references, np.array([0]))


def each_sequence(image: np.ndarray) -> list[Image]:
    """The sequences of a session (x, y, z, c); a scan (x, y, z) is one."""
    return [image] if image.ndim == 3 else [image[..., number] for number in range(image.shape[-1])]


def _prefix(sequence: str) -> str:
    return f"{sequence}.atlas" if sequence else "atlas"
