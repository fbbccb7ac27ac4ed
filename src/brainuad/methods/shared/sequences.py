"""Several sequences of a scan: a map of each, and one map made of these.

Source: docs/methods/sequences.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from brainuad.config.model import Fusion, MethodSettings
from brainuad.errors import InputError
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite

SIGNS: tuple[Sign, ...] = ("dark", "bright", "both")
MOST_SCANS = 30
"""Training scans whose maps are compared; more change little."""

Sessions = Float[np.ndarray, "x y z c"]
Wanted = list[tuple[int, Sign]]
"""Numbers of sequences, each with the sign of the lesions that its map is for."""
MakeMaps = Callable[[Sessions, Brain, Wanted], list[Image]]
"""From a session, (x, y, z, c), to the maps that are wanted of it."""


@dataclass(frozen=True)
class HealthyMaps:
    """Mean and covariance of the maps of healthy scans: a row for each sequence and sign, 0 for one that is missing."""

    mean: Float[np.ndarray, "m"]
    covariance: Float[np.ndarray, "m m"]


class FusedMaps:
    """What the maps of the sequences are like in healthy scans, and one map of a session made of its maps.

    Mean and covariance of the maps of healthy training scans are learnt for each sequence and sign, so that the signs
    of lesions, and how maps are fused, can change without a training. `signs`: of the lesions in each sequence.
    """

    def __init__(self, settings: MethodSettings, sequences: Sequence[str], signs: Mapping[str, Sign]):
        self.sequences, self.signs = list(sequences), signs
        self.fuse: Fusion = getattr(settings.map, "fuse", "mean")
        self.healthy: dict[int | None, HealthyMaps] = {}

    def learn(self, training: TrainingScans, make: MakeMaps, missing: int | None = None) -> None:
        """From the maps of healthy training scans, voxels taken alike.

        `missing`: the number of the sequence that these scans lack, where that changes the maps of the others.
        """
        numbers = [number for number in range(len(self.sequences)) if number != missing]
        wanted: Wanted = [(number, sign) for number in numbers for sign in SIGNS]
        total, squares, count = np.zeros(len(wanted)), np.zeros((len(wanted), len(wanted))), 0
        for image, brain in islice(zip(training.images, training.brains, strict=True), MOST_SCANS):
            values = np.stack([each[brain] for each in make(image, brain, wanted)]).astype(np.float64)
            total += values.sum(axis=1)
            squares += values @ values.T
            count += values.shape[1]
        found = total / count
        rows = [_row(number, sign) for number, sign in wanted]
        mean = np.zeros(len(SIGNS) * len(self.sequences))
        covariance = np.zeros((len(mean), len(mean)))
        mean[rows] = found
        covariance[np.ix_(rows, rows)] = squares / count - np.outer(found, found)
        self.healthy[missing] = HealthyMaps(mean, covariance)

    def map(self, image: Sessions, brain: Brain, sign: Sign, make: MakeMaps) -> Image:
        """The map of a session. `sign`: of the lesions in sequences that `signs` does not name.

        A constant sequence counts as missing: it is left out, and `make` is not asked for its map.
        """
        there = present(image, brain)
        healthy = self._like(there)
        chosen = [self.signs.get(name, sign) for name in self.sequences]
        rows = [_row(number, each) for number, each in enumerate(chosen)]
        sd = np.sqrt(np.diag(healthy.covariance))[rows]
        sd = np.where(sd > 0, sd, 1)
        correlation = healthy.covariance[np.ix_(rows, rows)] / np.outer(sd, sd)
        fused = np.zeros(brain.shape, np.float32)
        if there:
            maps = make(image, brain, [(number, chosen[number]) for number in there])
            pairs = zip(there, maps, strict=True)
            z = np.stack([(each[brain] - healthy.mean[rows[number]]) / sd[number] for number, each in pairs])
            fused[brain] = fused_values(z, correlation[np.ix_(there, there)], self.fuse)
        return check_finite(fused, "the fused map")

    def _like(self, there: Sequence[int]) -> HealthyMaps:
        """Of healthy scans that lack what a session lacks; of whole ones where that was not learnt."""
        if None not in self.healthy:
            raise InputError("the maps of the sequences have not been compared yet", do="train the model first")
        return self.healthy.get(one_missing(there, len(self.sequences)), self.healthy[None])

    def state(self) -> dict[str, np.ndarray]:
        """Mean and covariance, by the sequence that was missing."""
        state: dict[str, np.ndarray] = {}
        for missing, healthy in self.healthy.items():
            mean, covariance = self._names(missing)
            state |= {mean: healthy.mean, covariance: healthy.covariance}
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned; raises InputError if a part is missing."""
        if not all(name in state for name in self._names(None)):
            raise InputError("the bundle lacks what the maps of its sequences are like", do="train the model again")
        named = {missing: self._names(missing) for missing in (None, *range(len(self.sequences)))}
        self.healthy = {
            missing: HealthyMaps(state[mean], state[covariance])
            for missing, (mean, covariance) in named.items()
            if mean in state and covariance in state
        }

    def _names(self, missing: int | None) -> tuple[str, str]:
        of = "" if missing is None else f"without_{self.sequences[missing]}."
        return f"fusion.{of}mean", f"fusion.{of}covariance"


def _row(number: int, sign: Sign) -> int:
    return len(SIGNS) * number + SIGNS.index(sign)


def present(image: Sessions, brain: Brain) -> list[int]:
    """Numbers of the sequences of a session that vary in the brain: one that is missing is 0 everywhere."""
    return [number for number in range(image.shape[-1]) if brain.any() and np.ptp(image[..., number][brain]) > 0]


def one_missing(there: Sequence[int], count: int) -> int | None:
    """The number of the sequence that a session of `count` lacks; None where it lacks none, or several."""
    missing = [number for number in range(count) if number not in there]
    return missing[0] if len(missing) == 1 else None


class SequenceMaps(Method):
    """A method for each sequence of a scan, images (x, y, z, c); their maps are fused."""

    def __init__(self, settings: MethodSettings, sequences: Sequence[str], signs: Mapping[str, Sign]):
        self.sequences = list(sequences)
        self.fused = FusedMaps(settings, sequences, signs)
        self.methods: list[Method] = [settings.method_class()(settings) for _ in sequences]

    def initialise(self, seed: int) -> None:
        for method in self.methods:
            method.initialise(seed)

    def to(self, accelerator: str) -> None:
        for method in self.methods:
            method.to(accelerator)

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:
        """Each method learns from its sequence; then what their maps of healthy scans are like."""
        for number, method in enumerate(self.methods):
            method.fit(one_sequence(training, number), None if held_out is None else one_sequence(held_out, number))
        self.fused.learn(training, self._maps(training.spacing))

    def anomaly_map(self, image: Sessions, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        """`sign`: of the lesions in sequences that have no sign of their own."""
        return self.fused.map(image, brain, sign, self._maps(spacing))

    def _maps(self, spacing: tuple[float, float, float]) -> MakeMaps:
        def make(image: Sessions, brain: Brain, wanted: Wanted) -> list[Image]:
            return [
                self.methods[number].anomaly_map(image[..., number], brain, spacing, sign) for number, sign in wanted
            ]

        return make

    def state(self) -> dict[str, np.ndarray]:
        """Those of the methods, each with its sequence before the name; mean and covariance of their maps."""
        pairs = zip(self.sequences, self.methods, strict=True)
        parts = {f"{name}.{key}": array for name, method in pairs for key, array in method.state().items()}
        return self.fused.state() | parts

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.fused.load(state)
        for name, method in zip(self.sequences, self.methods, strict=True):
            start = f"{name}."
            method.load({key.removeprefix(start): array for key, array in state.items() if key.startswith(start)})


def fused_values(
    z: Float[np.ndarray, "c n"], correlation: Float[np.ndarray, "c c"], how: Fusion
) -> Float[np.ndarray, "n"]:
    """One value a voxel from the z of each sequence, higher = more abnormal. `correlation`: of z in healthy scans."""
    match how:
        case "mean":
            return z.mean(axis=0) / np.sqrt(max(float(correlation.mean()), 1e-6))
        case "maximum":
            return cast(np.ndarray, z.max(axis=0))
        case "mahalanobis":
            above = np.maximum(z, 0)
            squared = np.einsum("cn,cd,dn->n", above, np.linalg.pinv(correlation), above)
            return np.sqrt(np.maximum(squared, 0))
        case "direction":
            weights = np.linalg.pinv(correlation).sum(axis=1)
            return weights @ z / np.sqrt(max(float(weights.sum()), 1e-6))


def one_sequence(scans: TrainingScans, number: int) -> TrainingScans:
    """Scans with one of their sequences alone."""
    return TrainingScans(_Channel(scans.images, number), scans.brains, scans.spacing)


def lacking(scans: TrainingScans, missing: int | None) -> TrainingScans:
    """Scans as they are shown where one of their sequences is missing; unchanged for None."""
    return scans if missing is None else TrainingScans(_Lacking(scans.images, missing), scans.brains, scans.spacing)


class _Channel(Sequence[Image]):
    """One sequence of images (x, y, z, c), each read when it is indexed."""

    def __init__(self, images: Sequence[Image], number: int):
        self.images, self.number = images, number

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Channel(self.images[index], self.number)
        return self.images[index][..., self.number]


class _Lacking(_Channel):
    """Images (x, y, z, c) in which one sequence is 0, each read when it is indexed."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Lacking(self.images[index], self.number)
        shown = np.array(self.images[index])
        shown[..., self.number] = 0
        return shown
