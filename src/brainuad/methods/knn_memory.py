"""Distance of each patch to the nearest patches of healthy scans at the same place.

Source: docs/methods/baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from brainuad.config.model import TOLD_ELSEWHERE, MethodSettings, Several
from brainuad.config.told import Told, listed
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite
from brainuad.methods.shared.finishing import DistanceMap, finished

PARTS = ("shape", "stride", "places", "patches", "valid", "mean", "sd")
"""Names of the arrays of the state."""
Spacing = tuple[float, float, float]
AROUND = ((0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
"""A place and its neighbours, in strides: where a patch takes its values, and where nearest patches are looked for."""


class MemoryMap(DistanceMap):
    """How distances to healthy patches become a map."""

    def shown(self, told: Told) -> str:
        if told.signed:
            return "is the distance to the nearest patches over its root mean square in the healthy training scans"
        return "is the z-score of the distance to the nearest patches against those of the healthy training scans"


class Settings(MethodSettings):
    """Distance of each patch to the nearest patches of healthy scans at the same place."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False
    several: ClassVar[Several] = "each"

    family: Literal["knn_memory"]
    stride_mm: float = Field(4.0, gt=0)
    """Distance of the places that have a memory, and of the seven values of a patch, in mm."""
    smooth_mm: tuple[float, ...] = Field((2.0, 6.0, 10.0), min_length=1)
    """Sigmas of the smoothed scans whose values make up a patch, in mm: the first at a place and its six neighbours,
    the others at the place."""
    remembered: int = Field(32, ge=2)
    """Largest number of training scans in the memory; they are drawn at random if there are more."""
    neighbours: int = Field(3, ge=1)
    """Nearest patches whose distances are averaged."""
    sd_added: float = Field(0.3, ge=0)
    """Added to the sd of the distance of each place, as a share of the median sd."""
    min_coverage: float = Field(0.8, gt=0, le=1)
    """Places inside the brain of a smaller share of training scans have no memory and are 0 in the map."""
    map: MemoryMap = MemoryMap(smooth_mm=2.0)

    def describe(self) -> list[str]:
        told = Told(self)
        first, *others = [f"{sigma:g} mm" for sigma in told.smooth_mm]
        patch = (
            f"A patch holds the scan smoothed by {first} at a place and at its six neighbours {told.stride_mm:g} mm "
        )
        patch += f"away, and smoothed by {listed(others)} at the place." if others else "away."
        memory = (
            f"Places {told.stride_mm:g} mm apart remember the patches of at most {told.remembered} healthy training "
            "scans; a patch is compared with those of its place and of the six around it, and the distances to the "
            f"{told.neighbours} nearest are averaged. Distances in a training scan leave that scan out; "
            f"{told.sd_added:g} of the median of their sds is added to each. Places in the brain of less than "
            f"{100 * told.min_coverage:g} % of the training scans are 0."
        )
        return ["a memory of healthy patches at each place", patch, memory, *told.rest(*TOLD_ELSEWHERE)]

    @classmethod
    def method_class(cls) -> type[Any]:
        return PatchMemory


@dataclass(frozen=True)
class Lattice:
    """Places `stride` voxels apart. `places`: (x, y, z), which of all nodes have a memory; values of these are rows."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    places: Bool[np.ndarray, "a b c"]

    @classmethod
    def on(cls, shape: tuple[int, ...], spacing: Spacing, stride_mm: float) -> Lattice:
        """All nodes of a grid."""
        stride = tuple(max(1, round(stride_mm / size)) for size in spacing)
        return cls(shape, stride, np.ones([len(range(s // 2, n, s)) for s, n in zip(stride, shape, strict=True)], bool))

    @property
    def nodes(self) -> tuple[slice, ...]:
        """Index of all nodes in a volume."""
        return tuple(slice(step // 2, None, step) for step in self.stride)

    @cached_property
    def around(self) -> Int[np.ndarray, "7 n"]:
        """Row of each place and of the six places around it; its own row where there is none."""
        rows = np.full(np.add(self.places.shape, 2), -1)
        rows[1:-1, 1:-1, 1:-1][self.places] = np.arange(self.places.sum())
        own, *others = (np.roll(rows, shift, (0, 1, 2))[1:-1, 1:-1, 1:-1][self.places] for shift in AROUND)
        return np.stack([own, *(np.where(other < 0, own, other) for other in others)])

    def patches(self, image: Image, brain: Brain, spacing: Spacing, sigmas_mm: tuple[float, ...]) -> np.ndarray:
        """The patch of each place, (n, values) float32; a neighbour outside the brain counts as the place itself."""
        from brainuad.images.smooth import smooth_inside  # late: it takes scipy, and settings are read without it

        fine, *coarse = (smooth_inside(image, brain, sigma, spacing) for sigma in sigmas_mm)
        inside = self.inside(brain)
        values = fine[self.nodes][self.places][self.around]
        values = np.where(inside[self.around], values, values[0])
        return np.concatenate([values, [each[self.nodes][self.places] for each in coarse]] if coarse else [values]).T

    def inside(self, brain: Brain) -> Bool[np.ndarray, "n"]:
        """Which places lie in a scan's brain."""
        return np.asarray(brain)[self.nodes][self.places]

    def volume(self, values: Float[np.ndarray, "n"], inside: Bool[np.ndarray, "n"]) -> Image:
        """Values of the places `inside` on the whole grid, linear between them and constant beyond the last."""
        from scipy import ndimage

        coarse = np.zeros((2, *self.places.shape), np.float32)
        coarse[:, self.places] = np.where(inside, values, 0), inside
        axes = [
            np.clip((np.arange(size) - step // 2) / step, 0, nodes - 1)
            for size, step, nodes in zip(self.shape, self.stride, self.places.shape, strict=True)
        ]
        where = np.stack(np.meshgrid(*axes, indexing="ij"))
        total, weight = (ndimage.map_coordinates(each, where, order=1) for each in coarse)
        return np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-3)


class PatchMemory(Method):
    """Map: mean distance to the nearest healthy patches around a place, in terms of its distribution in health."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.seed = 0
        self.lattice: Lattice | None = None
        self.memory: dict[str, np.ndarray] = {}

    def initialise(self, seed: int) -> None:
        self.seed = seed

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        settings, number = self.settings, len(training.images)
        if number < 2:
            raise InputError("too few healthy training scans", why=f"there is {number}", do="give two, better thirty")
        lattice = Lattice.on(training.images[0].shape, training.spacing, settings.stride_mm)
        covered = np.mean([np.asarray(brain)[lattice.nodes] for brain in training.brains], axis=0)
        lattice = Lattice(lattice.shape, lattice.stride, covered >= settings.min_coverage)
        count = min(settings.remembered, number)
        kept = np.sort(np.random.default_rng(self.seed).permutation(number)[:count])
        self.lattice = lattice
        brains = [lattice.inside(training.brains[i]) for i in kept]
        patches = [self._patches(training.images[i], training.brains[i], training.spacing) for i in kept]
        self.memory = {"patches": np.stack(patches), "valid": np.stack(brains)}
        self.memory |= self._spread(training, {int(scan): slot for slot, scan in enumerate(kept)})

    def _spread(self, training: TrainingScans, slots: Mapping[int, int]) -> dict[str, np.ndarray]:
        """Mean and sd of the distances of training scans in their brains, each left out of the memory."""
        assert self.lattice is not None
        seen = total = squares = np.zeros(self.memory["patches"].shape[1])
        for number, (image, brain) in enumerate(zip(training.images, training.brains, strict=True)):
            distance = self._distances(self._patches(image, brain, training.spacing), slots.get(number))
            distance = np.where(self.lattice.inside(brain), distance, 0)
            seen = seen + (distance > 0)
            total, squares = total + distance, squares + np.square(distance)
        mean = total / np.maximum(seen, 1)
        sd = np.sqrt(np.maximum(squares / np.maximum(seen, 1) - mean**2, 0))
        floor = self.settings.sd_added * (np.median(sd) if len(sd) else 0) + np.finfo(np.float32).tiny
        return {"mean": mean.astype(np.float32), "sd": (sd + floor).astype(np.float32)}

    def _patches(self, image: Image, brain: Brain, spacing: Spacing) -> Float[np.ndarray, "n values"]:
        if self.lattice is None:
            raise InputError("knn_memory has no patches yet", do="train it first")
        return self.lattice.patches(image, brain, spacing, self.settings.smooth_mm)

    def _distances(self, patches: Float[np.ndarray, "n values"], left_out: int | None) -> Float[np.ndarray, "n"]:
        """Mean distance to the nearest patches in memory without that of the slot `left_out`; 0 where it is empty."""
        assert self.lattice is not None
        found = []
        for slot, (scan, valid) in enumerate(zip(self.memory["patches"], self.memory["valid"], strict=True)):
            if slot == left_out:
                continue
            for rows in self.lattice.around:
                distance = np.square(patches - scan[rows]).mean(axis=1)
                found.append(np.where(valid[rows], distance, np.inf))
        nearest = min(self.settings.neighbours, len(found))
        mean = np.sqrt(np.partition(np.stack(found), nearest - 1, axis=0)[:nearest]).mean(axis=0)
        return np.where(np.isfinite(mean), mean, 0)

    def anomaly_map(self, image: Image, brain: Brain, spacing: Spacing, sign: Sign) -> Image:
        patches = self._patches(image, brain, spacing)
        assert self.lattice is not None
        memory, how = self.memory, self.settings.map
        distance = self._distances(patches, None)
        if how.signed:
            valid = memory["valid"]
            healthy = np.where(valid, memory["patches"][..., 0], 0).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
            values = np.sign(patches[:, 0] - healthy) * distance / np.hypot(memory["mean"], memory["sd"])
        else:
            values, sign = (distance - memory["mean"]) / memory["sd"], "bright"
        on_grid = np.where(brain, self.lattice.volume(values, self.lattice.inside(brain)), 0)
        return check_finite(finished(on_grid, brain, spacing, sign, how), "knn_memory")

    def state(self) -> dict[str, np.ndarray]:
        if self.lattice is None:
            return {}
        lattice = self.lattice
        return {
            "shape": np.array(lattice.shape, np.int32),
            "stride": np.array(lattice.stride, np.int32),
            "places": lattice.places,
            **self.memory,
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        if missing := [name for name in PARTS if name not in state]:
            raise InputError(f"the bundle lacks {', '.join(missing)}", do="train the model again")
        shape, stride = (tuple(int(n) for n in state[name]) for name in ("shape", "stride"))
        self.lattice = Lattice(shape, stride, state["places"])
        self.memory = {name: state[name] for name in PARTS[3:]}
