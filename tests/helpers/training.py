"""What tests of trainings share: small scans, small models, and a callback that kills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lightning import Callback
from torch import Tensor, nn

from brainuad.config.model import MethodSettings
from brainuad.config.network import Train
from brainuad.config.study import Compute
from brainuad.formats import array_cache
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.methods import registry
from brainuad.methods.adversarial_autoencoder import Settings as AdversarialAutoencoder
from brainuad.methods.adversarial_autoencoder.method import AdversarialAutoencoderMethod
from brainuad.methods.autoencoder import Settings as Autoencoder
from brainuad.methods.autoencoder.method import AutoencoderMethod
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.networks import AutoencoderOutput, ConvAutoencoder
from brainuad.methods.shared.neural import NeuralMethod, Stage
from brainuad.methods.shared.objective import Objective
from brainuad.resources.live import PROGRESS
from brainuad.train.fit import TrainingResult

SPACING = (2.0, 2.0, 2.0)
SHAPE = (12, 16, 5)
ROLES = ["train"] * 3 + ["validation"] * 2 + ["test"]
COMPUTE = Compute(threads=1, accelerator="cpu", workers=0)
NETWORK = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "dense_channels": 2}
LENGTH = {"steps": 14, "validate_every": 4, "batch_size": 4, "lr": 0.01}


class KilledError(Exception):
    pass


class KillAt(Callback):
    """Kills after a number of batches, counted over all stages."""

    def __init__(self, batch: int):
        self.left = batch

    def on_train_batch_end(self, *args):
        self.left -= 1
        if self.left == 0:
            raise KilledError


def scans(count: int, seed: int) -> TrainingScans:
    rng = np.random.default_rng(seed)
    brain = np.ones((12, 16, 5), bool)
    return TrainingScans([rng.random((12, 16, 5), dtype=np.float32) for _ in range(count)], [brain] * count, SPACING)


def method(**train: object) -> AutoencoderMethod:
    length = train if "epochs" in train else {"steps": 14, "validate_every": 4} | train
    return AutoencoderMethod(
        Autoencoder(
            family="autoencoder",
            network=NETWORK | {"variational": True},
            loss={"kl": 1.0},
            train={"batch_size": 4, **length},
        )
    )


def weights(made: NeuralMethod) -> np.ndarray:
    return np.concatenate([array.ravel() for array in made.weights().values()])


def curves(fitted: TrainingResult) -> list[tuple[int, str, float]]:
    return [row for row in fitted.curves if not row[1].endswith("steps_per_second")]


def adversarial(loss: str = "cross_entropy", critic_steps: int = 1, keep: str = "best") -> AdversarialAutoencoderMethod:
    return AdversarialAutoencoderMethod(
        AdversarialAutoencoder(
            family="adversarial_autoencoder",
            network=NETWORK | {"variational": True},
            loss={"kl": 0.1},
            adversarial={"loss": loss, "critic_steps": critic_steps, "lr": 0.01},
            train=LENGTH | {"keep": keep},
        )
    )


class Refined(nn.Module):
    """An autoencoder and a network that corrects its reconstructions."""

    def __init__(self, first: nn.Module):
        super().__init__()
        self.first = first
        self.second = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 1, 1))

    def forward(self, batch: Tensor) -> AutoencoderOutput:
        return AutoencoderOutput(self.second(self.first(batch).reconstruction))


class Halfway(Objective):
    def terms(self, batch: Tensor) -> dict[str, Tensor]:
        noisy = batch + 0.1 * torch.randn_like(batch)
        return {"loss": (self.network.first(noisy).reconstruction - batch).square().mean()}


class Whole(Objective):
    def terms(self, batch: Tensor) -> dict[str, Tensor]:
        noisy = batch + 0.1 * torch.randn_like(batch)
        return {"loss": (self.network(noisy).reconstruction - batch).square().mean()}


class TwoStages(AutoencoderMethod):
    """The autoencoder alone, then what corrects it."""

    started_from: dict[str, np.ndarray] | None = None

    def make_network(self) -> nn.Module:
        return Refined(ConvAutoencoder(self.settings.network))

    def stages(self) -> list[Stage]:
        later = Train(epochs=2, batch_size=5, lr=0.02, keep="last")
        return [
            Stage("", self.train, lambda: Halfway(self.network, self.train, ["first"])),
            Stage("refine", later, lambda: self._refining(later)),
        ]

    def _refining(self, train: Train) -> Objective:
        self.started_from = {name: array.copy() for name, array in self.weights().items()}
        self.network.eval()  # as one that looks at reconstructions leaves it
        return Whole(self.network, train, ["second"])


def staged(**train: object) -> TwoStages:
    return TwoStages(Autoencoder(family="autoencoder", network=NETWORK, train=LENGTH | train))


def stored(path: Path, roles=ROLES, shape=SHAPE, seed=0, value=None, lesion=False, ignored=False) -> Path:
    rng = np.random.default_rng(seed)
    brain = np.ones(shape, bool)
    entries = []
    for i, role in enumerate(roles):
        image = rng.random(shape, dtype=np.float32)
        if value is not None:
            image[2, 2, 2] = value
        row = Scan(f"sub-{i}", f"sub-{i}", path.name, role=role)
        mask = np.zeros(shape, bool)
        mask[1, 1, 1] = lesion and role == "train"
        other = np.zeros(shape, bool)
        other[2, 1, 1:3] = ignored and role == "train"
        entries.append(array_cache.Entry(row, image, brain, mask, other))
    scaling = {"landmarks": np.arange(3.0)}
    array_cache.write(path, entries, CacheHeader(np.diag([2.0, 2, 2, 1]), {"scale": "percentile"}, scaling))
    return path


def neural(**more: object) -> MethodSettings:
    network = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "dense_channels": 2}
    train = {"steps": 6, "validate_every": 3, "batch_size": 4}
    return registry.validate({"family": "autoencoder", "network": network, "train": train, **more})


def kept(folder: Path) -> list[str]:
    """Names of the files of a training, without those that only say how far it is."""
    names = (path.name for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.endswith(PROGRESS))
