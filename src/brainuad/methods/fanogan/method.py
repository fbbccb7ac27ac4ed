"""The method of f-AnoGAN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from brainuad.config.network import Optimisation
from brainuad.methods.base import Brain, Image, TrainingScans
from brainuad.methods.fanogan.network import EncoderGan
from brainuad.methods.shared.neural import Examples, Stage
from brainuad.methods.shared.reconstruction import ReconstructionMethod, View

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.fanogan import Settings


class CentredView:
    """A view whose intensities, [0, 1] in a scan, are [-1, 1] in a network."""

    def __init__(self, view: View):
        self.view = view

    def examples(self, scans: TrainingScans) -> Examples:
        """The examples of the view in [-1, 1]."""
        return CentredExamples(self.view.examples(scans))

    def inputs(self, image: Image, brain: Brain) -> Iterator[tuple[Any, Tensor]]:
        """The inputs of the view in [-1, 1]."""
        for position, batch in self.view.inputs(image, brain):
            yield position, 2 * batch - 1

    def insert(self, output: Tensor, position: Any, image: Image) -> None:
        """Write an output in [-1, 1] into a scan."""
        self.view.insert((output + 1) / 2, position, image)

    def insert_difference(self, difference: Tensor, position: Any, image: Image) -> None:
        """Write a difference of values in [-1, 1] into a scan."""
        self.view.insert_difference(difference / 2, position, image)


class CentredExamples:
    """Training examples in [-1, 1]."""

    def __init__(self, examples: Examples):
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def fetch(self, indices: Sequence[int]) -> Tensor:
        """These examples."""
        return 2 * self.examples.fetch(indices) - 1


class FAnoGanMethod(ReconstructionMethod):
    """Trains the generator against its critic, then the encoder, then, if wanted, encoder and generator."""

    network: EncoderGan

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)
        self.view = CentredView(self.view)

    def make_network(self) -> nn.Module:
        return EncoderGan(self.settings.network)

    def objective(self) -> LightningModule:
        """The generator against its critic."""
        from brainuad.methods.shared.gan_objective import GanObjective

        return GanObjective(self.network, self.train, self.settings.adversarial)

    def encoder_objective(self, train: Optimisation, *trained: str) -> LightningModule:
        """Reconstruction by these parts of the network, the critic frozen."""
        from brainuad.methods.fanogan.objective import EncoderObjective

        return EncoderObjective(self.network, train, self.settings.feature_weight, trained)

    def stages(self) -> list[Stage]:
        """GAN, whose batches hold examples for every step of the critic; encoder; encoder and generator."""
        settings = self.settings
        encoder, both = settings.encoder_train, settings.fine_tune_train
        stages = [
            Stage("", settings.adversarial.with_critic_batches(self.train), self.objective),
            Stage("encoder", encoder, lambda: self.encoder_objective(encoder, "encoder")),
        ]
        if both is None:
            return stages
        return [*stages, Stage("fine_tune", both, lambda: self.encoder_objective(both, "encoder", "generator"))]

    def reconstruct_batch(self, batch: Tensor) -> Tensor:
        """Encode and generate."""
        return self.network.reconstruct(batch)

    @torch.no_grad()
    def anomaly_score(self, anomaly: Image, brain: Brain, image: Image) -> float:  # noqa: ARG002
        """The reconstruction error of the scan, in voxels in [-1, 1] and, weighted, in features of the critic.

        Mean squared differences; in 2D their mean over slices. Source: Simarro Viana et al. 2020.
        """
        self.network.eval()
        inputs = self.view.inputs(image, brain)
        errors = [self.network.reconstruction_error(batch.to(self.device)) for _, batch in inputs]
        scores = [error.image + self.settings.feature_weight * error.features for error in errors]
        return float(torch.cat(scores).mean()) if scores else 0.0
