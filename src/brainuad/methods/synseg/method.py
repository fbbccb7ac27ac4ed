"""The method: an atlas and a U-Net that segments synthetic lesions; maps are standardised logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from brainuad.errors import InputError
from brainuad.images.lesions import Window
from brainuad.images.smooth import smooth_inside
from brainuad.methods.base import Brain, Image, Sign, TrainingScans, check_finite
from brainuad.methods.shared.healthy_atlas import Feature, HealthyAtlas, Reference
from brainuad.methods.shared.neural import NeuralMethod
from brainuad.methods.shared.residual import Accumulator, Statistics, standardise
from brainuad.methods.shared.room import room
from brainuad.methods.shared.unet import UNet
from brainuad.methods.synseg.inputs import INPUTS, Features, References, Spacing, box_around, inputs_of
from brainuad.methods.synseg.samples import TARGETS, SyntheticSamples, padded

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.synseg import Settings

Side = Literal["dark", "bright"]
SIDES: tuple[Side, ...] = ("dark", "bright")
"""In the order of the network's outputs."""
SLICES_AT_ONCE = 16


class SynSeg(NeuralMethod):
    """Logits of dark and bright lesions."""

    def __init__(self, settings: Settings):
        self.settings, self.train = settings, settings.train
        self.features = Features.of(settings.inputs)
        self.atlas = HealthyAtlas(self.features.all, settings.atlas)
        self.healthy: dict[Side, Statistics] = {}
        self._observed: TrainingScans | None = None
        self._left_out: list[dict[Feature, Reference]] = []
        self.seed = 0
        self.initialise(seed=0)

    def initialise(self, seed: int) -> None:
        """Fresh weights; samples are drawn from the same seed."""
        super().initialise(seed)
        self.seed = seed

    def make_network(self) -> nn.Module:
        return UNet(self.settings.network, INPUTS, TARGETS)

    def observe(self, training: TrainingScans) -> None:
        """Gather the atlas, and what each training scan is compared with: the atlas without it."""
        self.atlas.fit(training)
        self._observed, self._left_out, box = training, [], self._box()
        features = self.features.all
        shape = len(training.images), len(features), *(part.stop - part.start for part in box)
        mean, sd, known = room(shape, np.float16), room(shape, np.float16), room(shape, np.bool_)
        for row, (image, brain) in enumerate(zip(training.images, training.brains, strict=True)):
            self._left_out.append({})
            for column, feature in enumerate(features):
                others = self.atlas.reference_without(np.asarray(image), brain, training.spacing, feature).part(box)
                at = row, column
                mean[at], sd[at], known[at] = others.mean, others.sd, others.known
                self._left_out[row][feature] = Reference(mean[at], sd[at], known[at])

    def examples(self, scans: TrainingScans) -> SyntheticSamples:
        """Slices of these scans with synthetic lesions, drawn when they are asked for."""
        box = self._box()
        if scans is self._observed:
            references: Sequence[References] = self._left_out
        else:
            references = [self._references(box, scans.spacing)] * len(scans.images)
        return SyntheticSamples(scans, self.settings, self.seed, box, references)

    def objective(self) -> LightningModule:
        """Cross entropy and soft Dice."""
        from brainuad.methods.synseg.objective import SegmentationObjective

        return SegmentationObjective(self.network, self.settings.loss, self.train)

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:  # noqa: ARG002
        """Mean and sd of the logits of the training scans, each compared with the atlas without it."""
        gathered = {side: Accumulator(training.images[0].shape) for side in SIDES}
        for number, (image, brain) in enumerate(zip(training.images, training.brains, strict=True)):
            logits = self.logits(np.asarray(image), brain, training.spacing, self._left_out[number])
            for side, logit in zip(SIDES, logits, strict=True):
                gathered[side].add(logit, brain)
        self.healthy = {side: each.result() for side, each in gathered.items()}
        self._observed, self._left_out = None, []

    @torch.no_grad()
    def logits(
        self, image: Image, brain: Brain, spacing: Spacing, references: References | None = None
    ) -> Float[np.ndarray, "2 x y z"]:
        """Of dark and of bright lesions, 0 outside the brain.

        `references`: what the scan is compared with, in the training's box; the atlas if None.
        """
        self.network.eval()
        found = np.zeros((TARGETS, *image.shape), np.float32)
        box = self._box(brain) if references is None else self._box()
        compared = self._references(box, spacing) if references is None else references
        part, inside = image[box], brain[box]
        levels = np.flatnonzero(inside.any((0, 1)))
        for start in range(0, len(levels), SLICES_AT_ONCE):
            chunk = levels[start : start + SLICES_AT_ONCE].tolist()
            here = {feature: reference.part(np.s_[:, :, chunk]) for feature, reference in compared.items()}
            inputs = inputs_of(part, inside, chunk, here, self.settings.inputs, spacing)
            batch = torch.from_numpy(padded(inputs, self.settings.network.multiple)).to(self.device)
            outputs = self.network(batch).float().cpu().numpy()[:, :, : part.shape[0], : part.shape[1]]
            found[:, box[0], box[1], chunk] = np.moveaxis(outputs, 0, 3)
        return np.where(brain, found, 0)

    def anomaly_map(self, image: Image, brain: Brain, spacing: Spacing, sign: Sign) -> Image:
        """In units of the sd of healthy logits."""
        if not self.healthy:
            raise InputError("synseg has no healthy logits yet", do="train it first")
        sides = SIDES if sign == "both" else (sign,)
        logits = dict(zip(SIDES, self.logits(image, brain, spacing), strict=True))
        maps = [standardise(logits[side], brain, self.healthy[side], self.settings.map) for side in sides]
        anomaly = maps[0] if len(maps) == 1 else np.maximum(*maps)
        return check_finite(smooth_inside(anomaly, brain, self.settings.map.smooth_mm, spacing), "synseg")

    def state(self) -> dict[str, np.ndarray]:
        """Weights, atlas and healthy logits."""
        state = self.weights() | self.atlas.state()
        for side, statistics in self.healthy.items():
            state |= statistics.state(f"logits_{side}")
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.load_weights(state)
        self.atlas.load(state)
        self.healthy = {side: Statistics.load(state, f"logits_{side}") for side in SIDES}

    def _box(self, brain: Brain | None = None) -> Window:
        """The part of the grid that holds the training brains, and this one."""
        known = self.atlas.moments[self.features.own].count > 0
        return box_around(known if brain is None else known | brain)

    def _references(self, box: Window, spacing: Spacing) -> References:
        return {feature: self.atlas.reference(feature, spacing).part(box) for feature in self.features.all}
