"""Methods that compare the features of slices in a pretrained network with those of healthy scans."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.config.features import FeatureSettings, MemoryBank
from brainuad.errors import InputError
from brainuad.images.seeds import rng_for
from brainuad.images.smooth import smooth_inside
from brainuad.methods.base import Brain, Image, Sign, TrainingScans, check_finite
from brainuad.methods.shared.memory_bank import coreset, nearest_distance
from brainuad.methods.shared.neural import Examples, NeuralMethod
from brainuad.methods.shared.pretrained import load_pretrained
from brainuad.methods.shared.residual import Accumulator, Statistics, standardise
from brainuad.methods.shared.slices import SLICES_AT_ONCE, SliceView, axial, to_network

STATISTICS = "map"
"""Prefix of the statistics of healthy maps in the state."""


class FeatureMethod(NeuralMethod):
    """Maps each slice, at the resolution of features; the map on the scan's grid is interpolated from these.

    The network has a child `backbone`, which is filled from the user's file before training, and never trained. A
    bundle holds its weights, so that inference needs no file.
    """

    aligned: ClassVar[bool] = False
    """Whether the first and last features lie on the first and last pixels, when maps are interpolated."""

    def __init__(self, settings: FeatureSettings, min_brain_share: float):
        self.settings, self.name = settings, settings.family
        self.view = SliceView(settings.size, min_brain_share)
        self.seed = 0
        self.weights_sha256 = settings.backbone.sha256
        self.healthy: Statistics | None = None
        super().initialise(0)

    @abstractmethod
    def slice_maps(self, batch: Float[Tensor, "n 1 x y"], inside: Bool[Tensor, "n 1 x y"]) -> Float[Tensor, "n 1 h w"]:
        """Distances from health of slices whose brains are `inside`, at the resolution of features."""

    def initialise(self, seed: int) -> None:
        """Fresh weights from a seed, and pretrained ones from the user's file."""
        super().initialise(seed)
        self.seed = seed
        backbone = self.network.get_submodule("backbone")
        self.weights_sha256 = load_pretrained(backbone, self.settings.backbone)

    def examples(self, scans: TrainingScans) -> Examples:
        """Slices with enough brain."""
        return self.view.examples(scans)

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        """Mean and sd of the healthy maps."""
        healthy = Accumulator(training.images[0].shape)
        for number, (image, brain) in enumerate(zip(training.images, training.brains, strict=True)):
            healthy.add(self.training_map(number, image, brain), brain)
        self.healthy = healthy.result()

    def training_map(self, number: int, image: Image, brain: Brain) -> Image:  # noqa: ARG002
        """The map of a training scan, before it is standardised and smoothed. `number`: among the training scans."""
        return self.distances(image, brain)

    @torch.no_grad()
    def distances(self, image: Image, brain: Brain) -> Image:
        """The map before it is standardised and smoothed."""
        self.network.eval()
        found, size = np.zeros(image.shape, np.float32), self.settings.size
        for levels, batch in self.view.inputs(image, brain):
            inside = to_network(axial(brain, levels), size) > 0
            maps = self.slice_maps(batch.to(self.device), inside.to(self.device))
            large = functional.interpolate(maps, size=(size, size), mode="bilinear", align_corners=self.aligned)
            self.view.insert(large, levels, found)
        found[~brain] = 0
        return found

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:  # noqa: ARG002
        """Distances, or their z-scores against the training scans; whatever the sign of lesions."""
        settings = self.settings.map
        found = self.distances(image, brain)
        if settings.standardise:
            if self.healthy is None:
                raise InputError(f"{self.name} has no healthy maps yet", do="train it first")
            found = standardise(found, brain, self.healthy, settings)
        return check_finite(smooth_inside(found, brain, settings.smooth_mm, spacing), self.name)

    def state(self) -> dict[str, np.ndarray]:
        return self.weights() | ({} if self.healthy is None else self.healthy.state(STATISTICS))

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.load_weights(state)
        self.healthy = Statistics.load(state, STATISTICS)

    def facts(self) -> dict[str, Any]:
        """Trainable parameters, and the checksum of the pretrained weights."""
        return {**super().facts(), "weights_sha256": self.weights_sha256}


class Frozen(nn.Module):
    """A network whose one part is pretrained."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone.requires_grad_(False)


class MemoryMethod(FeatureMethod):
    """Distance of each patch to the nearest of a bank of healthy ones; nothing is trained by gradient."""

    bank: Float[Tensor, "m d"]
    owners: np.ndarray
    """The training scan of each patch of the bank."""

    def __init__(self, settings: FeatureSettings, memory: MemoryBank, min_brain_share: float):
        self.memory = memory
        self.bank, self.owners = torch.zeros(0, 1), np.zeros(0, np.int32)
        super().__init__(settings, min_brain_share)

    def neural(self) -> None:
        """Nothing to train by gradient."""
        return

    def objective(self) -> Any:
        raise TypeError(f"{self.name} has no network to train")

    @abstractmethod
    def patches(self, batch: Float[Tensor, "n 1 x y"]) -> Float[Tensor, "n h w d"]:
        """The features of each patch of slices."""

    def distance(self, squared: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """What the map holds for a squared Euclidean distance: by default its root."""
        return squared.sqrt()

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:
        """Fill the bank; then mean and sd of healthy maps, for which a training scan's own patches are left out."""
        self.bank, self.owners = self._gathered(training)
        super().fit(training, held_out)

    def training_map(self, number: int, image: Image, brain: Brain) -> Image:
        whole = self.bank
        self.bank = whole[torch.from_numpy(self.owners != number).to(whole.device)]
        if not len(self.bank):
            raise InputError("too few healthy training scans", why="one has all patches", do="give at least two")
        try:
            return self.distances(image, brain)
        finally:
            self.bank = whole

    def slice_maps(self, batch: Tensor, inside: Tensor) -> Tensor:
        features = self.patches(batch)
        near = _near_brain(inside, features.shape[1:3])
        found = features.new_zeros(features.shape[:3])
        found[near] = self.distance(nearest_distance(features[near], self.bank.to(features)))
        return found[:, None]

    @torch.no_grad()
    def _gathered(self, training: TrainingScans) -> tuple[Tensor, np.ndarray]:
        """The bank, and the training scan that each of its patches comes from."""
        self.network.eval()
        rng = rng_for(self.seed, "memory bank")
        counts = [self._count(brain) for brain in training.brains]
        total = sum(counts)
        drawn = np.sort(rng.permutation(total)[: self.memory.candidates])
        found, first = [], 0
        for image, brain, count in zip(training.images, training.brains, counts, strict=True):
            own = drawn[np.searchsorted(drawn, first) : np.searchsorted(drawn, first + count)] - first
            found.append(self._patches_of(image, brain)[torch.from_numpy(own)] if len(own) else None)
            first += count
        owners = np.repeat(np.arange(len(found)), [0 if part is None else len(part) for part in found])
        if not total:
            why, do = "no slice has enough brain", "lower min_brain_share, or look at the brain masks"
            raise InputError("there is nothing to train on", why=why, do=do)
        candidates = torch.cat([part for part in found if part is not None])
        kept = min(self.memory.largest, max(1, round(self.memory.share * len(candidates))))
        chosen = coreset(candidates, kept, rng)
        return candidates[chosen].to(self.device), owners[chosen.numpy()]

    def _levels(self, brain: Brain) -> np.ndarray:
        """Levels with enough brain."""
        share = brain.mean(axis=(0, 1))
        return np.flatnonzero((share > 0) & (share >= self.view.min_brain_share))

    def _count(self, brain: Brain) -> int:
        """Patches near the brain of a scan."""
        levels = self._levels(brain)
        return int(_near_brain(to_network(axial(brain, levels), self.settings.size) > 0, self.grid()).sum())

    def _patches_of(self, image: Image, brain: Brain) -> Tensor:
        """The patches near the brain of a scan, on the CPU."""
        size, found = self.settings.size, []
        every = self._levels(brain)
        for levels in np.array_split(every, range(SLICES_AT_ONCE, len(every), SLICES_AT_ONCE)):
            near = _near_brain(to_network(axial(brain, levels), size) > 0, self.grid())
            features = self.patches(to_network(axial(image, levels), size).to(self.device)).cpu()
            found.append(features[near])
        return torch.cat(found)

    @abstractmethod
    def grid(self) -> tuple[int, int]:
        """Patches along both sides of a slice."""

    def to(self, accelerator: str) -> None:
        super().to(accelerator)
        self.bank = self.bank.to(self.device)

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"bank": self.bank.cpu().numpy()}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        super().load(state)
        if "bank" not in state:
            raise InputError("the bundle lacks 'bank'", do="train the model again")
        self.bank = torch.tensor(state["bank"])

    def facts(self) -> dict[str, Any]:
        """Also the number of patches in the bank."""
        return {**super().facts(), "bank": len(self.bank)}


def _near_brain(inside: Bool[Tensor, "n 1 x y"], grid: tuple[int, ...]) -> Bool[Tensor, "n h w"]:
    """Patches with brain, and their neighbours, which maps are interpolated from."""
    patches = functional.adaptive_max_pool2d(inside.float(), tuple(grid))
    return functional.max_pool2d(patches, 3, 1, 1)[:, 0] > 0
