"""Several sequences of a scan: a map of each, and one map made of these.

Source: docs/methods/sequences.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
MEAN, COVARIANCE = "fusion.mean", "fusion.covariance"

Sessions = Float[np.ndarray, "x y z c"]
Wanted = list[tuple[int, Sign]]
"""Numbers of sequences, each with the sign of the lesions that its map is for."""
MakeMaps = Callable[[Sessions, Brain, Wanted], list[Image]]
"""From a session, (x, y, z, c), to the maps that are wanted of it."""


class FusedMaps:
    """What the maps of the sequences are like in healthy scans, and one map of a session made of its maps.

    Mean and covariance of the maps of healthy training scans are learnt for each sequence and sign, so that the signs
    of lesions, and how maps are fused, can change without a training. `signs`: of the lesions in each sequence.
    """

    def __init__(self, settings: MethodSettings, sequences: Sequence[str], signs: Mapping[str, Sign]):
        self.sequences, self.signs = list(sequences), signs
        self.fuse: Fusion = getattr(settings.map, "fuse", "mean")
        self.mean: Float[np.ndarray, "m"] | None = None
        self.covariance: Float[np.ndarray, "m m"] | None = None

    def learn(self, training: TrainingScans, make: MakeMaps) -> None:
        """From the maps of healthy training scans, voxels taken alike."""
        every: Wanted = [(number, sign) for number in range(len(self.sequences)) for sign in SIGNS]
        total, squares, count = np.zeros(len(every)), np.zeros((len(every), len(every))), 0
        for image, brain in islice(zip(training.images, training.brains, strict=True), MOST_SCANS):
            values = np.stack([each[brain] for each in make(image, brain, every)]).astype(np.float64)
            total += values.sum(axis=1)
            squares += values @ values.T
            count += values.shape[1]
        self.mean = total / count
        self.covariance = squares / count - np.outer(self.mean, self.mean)

    def map(self, image: Sessions, brain: Brain, sign: Sign, make: MakeMaps) -> Image:
        """The map of a session. `sign`: of the lesions in sequences that `signs` does not name.

        A constant sequence counts as missing: it is left out, and `make` is not asked for its map.
        """
        if self.mean is None or self.covariance is None:
            raise InputError("the maps of the sequences have not been compared yet", do="train the model first")
        chosen = [self.signs.get(name, sign) for name in self.sequences]
        rows = [len(SIGNS) * number + SIGNS.index(each) for number, each in enumerate(chosen)]
        sd = np.sqrt(np.diag(self.covariance))[rows]
        sd = np.where(sd > 0, sd, 1)
        correlation = self.covariance[np.ix_(rows, rows)] / np.outer(sd, sd)
        there = present(image, brain)
        fused = np.zeros(brain.shape, np.float32)
        if there:
            maps = make(image, brain, [(number, chosen[number]) for number in there])
            z = np.stack(
                [(each[brain] - self.mean[rows[number]]) / sd[number] for number, each in zip(there, maps, strict=True)]
            )
            fused[brain] = fused_values(z, correlation[np.ix_(there, there)], self.fuse)
        return check_finite(fused, "the fused map")

    def state(self) -> dict[str, np.ndarray]:
        """Mean and covariance."""
        if self.mean is None or self.covariance is None:
            return {}
        return {MEAN: self.mean, COVARIANCE: self.covariance}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned; raises InputError if a part is missing."""
        if MEAN not in state or COVARIANCE not in state:
            raise InputError("the bundle lacks what the maps of its sequences are like", do="train the model again")
        self.mean, self.covariance = state[MEAN], state[COVARIANCE]


def present(image: Sessions, brain: Brain) -> list[int]:
    """Numbers of the sequences of a session that vary in the brain: one that is missing is 0 everywhere."""
    return [number for number in range(image.shape[-1]) if brain.any() and np.ptp(image[..., number][brain]) > 0]


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
