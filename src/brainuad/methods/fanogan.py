"""A Wasserstein GAN and an encoder that finds a scan's code at once: f-AnoGAN, on slices or volumes.

Source: Schlegl et al. 2019, Simarro Viana et al. 2020; models.md 1.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from brainuad.config.model import FAnoGan
from brainuad.config.network import Optimisation
from brainuad.methods.base import Brain, Image, TrainingScans
from brainuad.methods.gan_networks import EncoderGan
from brainuad.methods.neural import Examples, Stage
from brainuad.methods.reconstruction import ReconstructionMethod, View

if TYPE_CHECKING:
    from lightning import LightningModule


class Centred:
    """A view whose intensities, [0, 1] in a scan, are [-1, 1] in a network."""

    def __init__(self, view: View):
        self.view = view

    def examples(self, healthy: TrainingScans) -> Examples:
        """What the network learns from."""
        return CentredExamples(self.view.examples(healthy))

    def batches(self, image: Image, brain: Brain) -> Iterator[tuple[Any, Tensor]]:
        """A scan in parts, each with its place."""
        for where, batch in self.view.batches(image, brain):
            yield where, 2 * batch - 1

    def place(self, found: Tensor, where: Any, image: Image) -> None:
        """Put a part into a scan."""
        self.view.place((found + 1) / 2, where, image)


class CentredExamples:
    """Training items in [-1, 1]."""

    def __init__(self, examples: Examples):
        self.items = examples

    def __len__(self) -> int:
        """How many."""
        return len(self.items)

    def fetch(self, indices: Sequence[int]) -> Tensor:
        """A batch of them."""
        return 2 * self.items.fetch(indices) - 1


class FAnoGanMethod(ReconstructionMethod):
    """First the generator is trained against its critic, then the encoder, then, if wanted, encoder and generator."""

    network: EncoderGan

    def __init__(self, model: FAnoGan):
        self.model = model
        super().__init__(model.family, model.network, model.train, model.map)
        self.view = Centred(self.view)

    def make_network(self) -> nn.Module:
        """Generator, critic and encoder with fresh weights."""
        return EncoderGan(self.model.network)

    def objective(self) -> LightningModule:
        """The generator against its critic."""
        from brainuad.methods.generative import Generative

        return Generative(self.network, self.train, self.model.adversarial)

    def encoding(self, train: Optimisation, *trained: str) -> LightningModule:
        """Images and features rebuilt by these parts, the critic frozen."""
        from brainuad.methods.generative import Encoding

        return Encoding(self.network, train, self.model.feature_weight, trained)

    def stages(self) -> list[Stage]:
        """GAN, whose batches hold examples for every step of the critic; encoder; encoder and generator."""
        model = self.model
        encoder, both = model.encoder_train, model.fine_tune_train
        stages = [
            Stage("", model.adversarial.shared_out(self.train), self.objective),
            Stage("encoder", encoder, lambda: self.encoding(encoder, "encoder")),
        ]
        if both is None:
            return stages
        return [*stages, Stage("fine_tune", both, lambda: self.encoding(both, "encoder", "generator"))]

    def rebuild(self, batch: Tensor) -> Tensor:
        """Encode and generate."""
        return self.network.rebuild(batch)

    @torch.no_grad()
    def anomaly_score(self, anomaly: Image, brain: Brain, image: Image) -> float:  # noqa: ARG002
        """How far the scan is from what is rebuilt of it, as voxels in [-1, 1] and as features of the critic.

        Mean squared differences, the features' weighted; their mean over slices in 2D. Source: Simarro Viana et al.
        2020.
        """
        self.network.eval()
        found = [self.network.apart(batch.to(self.device)) for _, batch in self.view.batches(image, brain)]
        scores = [apart.image + self.model.feature_weight * apart.features for apart in found]
        return float(torch.cat(scores).mean()) if scores else 0.0


METHOD = FAnoGanMethod
