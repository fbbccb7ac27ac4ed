"""What tests of trainings share: small scans, small models, and a callback that kills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lightning import Callback
from torch import Tensor, nn

from brainuad.config.model import MODEL, AdversarialAutoencoder, AnyModel, Autoencoder
from brainuad.config.network import Train
from brainuad.config.study import Compute
from brainuad.formats import array_cache
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.methods.adversarial_autoencoder import AdversarialAutoencoderMethod
from brainuad.methods.autoencoder import AutoencoderMethod
from brainuad.methods.base import TrainingScans
from brainuad.methods.networks import ConvAutoencoder, Output
from brainuad.methods.neural import NeuralMethod, Stage
from brainuad.methods.objective import Objective
from brainuad.train.fit import Fitted

SPACING = (2.0, 2.0, 2.0)
SHAPE = (12, 16, 5)
ROLES = ["train"] * 3 + ["validation"] * 2 + ["test"]
COMPUTE = Compute(threads=1, accelerator="cpu")
NETWORK = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "reduce": 2}
LENGTH = {"steps": 14, "validate_every": 4, "batch": 4, "lr": 0.01}


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
            train={"batch": 4, **length},
        )
    )


def weights(made: NeuralMethod) -> np.ndarray:
    return np.concatenate([array.ravel() for array in made.weights().values()])


def curves(fitted: Fitted) -> list[tuple[int, str, float]]:
    return [row for row in fitted.curves if not row[1].endswith("steps_per_second")]


def judged(kind: str = "cross_entropy", critic_steps: int = 1, keep: str = "best") -> AdversarialAutoencoderMethod:
    return AdversarialAutoencoderMethod(
        AdversarialAutoencoder(
            family="adversarial_autoencoder",
            network=NETWORK | {"variational": True},
            loss={"kl": 0.1},
            adversarial={"kind": kind, "critic_steps": critic_steps, "lr": 0.01},
            train=LENGTH | {"keep": keep},
        )
    )


class Refined(nn.Module):
    """An autoencoder and a network that corrects what it rebuilds."""

    def __init__(self, first: nn.Module):
        super().__init__()
        self.first = first
        self.second = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 1, 1))

    def forward(self, batch: Tensor) -> Output:
        return Output(self.second(self.first(batch).reconstruction))


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
        return Refined(ConvAutoencoder(self.model.network))

    def stages(self) -> list[Stage]:
        later = Train(epochs=2, batch=5, lr=0.02, keep="last")
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
    array_cache.write(
        path, entries, len(entries), CacheHeader(np.diag([2.0, 2, 2, 1]), {"scale": "percentile"}, scaling)
    )
    return path


def neural(**more: object) -> AnyModel:
    network = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "reduce": 2}
    train = {"steps": 6, "validate_every": 3, "batch": 4}
    return MODEL.validate_python({"family": "autoencoder", "network": network, "train": train, **more})
