"""What every trained network shares: weights as arrays, seeded starts, the device, training examples and stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from brainuad.config.network import Optimisation, Train
from brainuad.errors import InputError
from brainuad.methods.base import Method, TrainingScans
from brainuad.methods.shared.residual import Accumulator, Rescaling, Residual, Statistics

if TYPE_CHECKING:
    from lightning import LightningModule

PREFIX = "network."


class Examples(Protocol):
    """Training examples (slices or volumes) of one or more scans."""

    def __len__(self) -> int:
        """Number of examples."""

    def fetch(self, indices: Sequence[int]) -> Tensor:
        """These examples as one input of the network, (n, 1, *size)."""


class DrawnExamples(ABC):
    """Examples that are drawn at random when they are asked for, by their number alone: it is the seed.

    A training asks for every number once, from 0 up, so that no two epochs are alike; a validation asks for the same
    numbers each time. `compute.workers` processes draw them while the network trains, from copies of this object.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Examples of a validation, and of an epoch where a training is given in epochs."""

    @abstractmethod
    def fetch(self, indices: Sequence[int]) -> Tensor:
        """The examples of these numbers as one input of the objective, (n, channels, *size)."""


@dataclass(frozen=True)
class Stage:
    """A part of a training that ends before the next one starts.

    `name` is the prefix of the names of its curves; the first stage has none. `objective` is called when the stage
    starts: the network then has the weights that the stages before have kept. Its steps return a dict of scalars by
    name, among them `loss`.
    """

    name: str
    train: Optimisation
    objective: Callable[[], LightningModule]


class NeuralMethod(Method):
    """A method around one network. The train stage calls `initialise`, `observe`, `examples`, `stages`, then `fit`."""

    network: nn.Module
    train: Train
    crossfit: Mapping[Residual, Statistics]
    """Residuals of training scans by networks that were trained without them; empty unless the train stage did so."""

    @abstractmethod
    def make_network(self) -> nn.Module:
        """A network with fresh weights."""

    def observe(self, training: TrainingScans) -> None:
        """Learn from training scans what the network's inputs need, before `examples`; by default nothing."""

    @abstractmethod
    def examples(self, scans: TrainingScans) -> Examples:
        """The examples that the network is trained or validated on."""

    @abstractmethod
    def objective(self) -> LightningModule:
        """The network with the losses and optimisers of its first stage."""

    def stages(self) -> list[Stage]:
        """The stages of the training in order; each resumes from its own checkpoint."""
        return [Stage("", self.train, self.objective)]

    def neural(self) -> NeuralMethod | None:
        return self

    def initialise(self, seed: int) -> None:
        """Fresh weights from a seed; the global random state is left as it was."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = self.make_network()

    def prepare(self, held_out: TrainingScans | None) -> None:
        """Learn from healthy scans what maps need besides the network's weights; by default nothing."""

    def add_residuals(self, scans: TrainingScans, gathered: Mapping[Residual, Accumulator | Rescaling]) -> None:
        """Count the residuals of these scans, signed and absolute; by default there are none."""

    @property
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return next(self.network.parameters()).device

    def to(self, accelerator: str) -> None:
        """Move the network: `cpu`, `gpu`, or `auto` for a GPU if there is one; raises InputError if there is none."""
        if accelerator == "gpu" and not torch.cuda.is_available():
            raise InputError("there is no GPU here", do="set compute.accelerator to auto or cpu")
        self.network.to("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")

    def weights(self) -> dict[str, np.ndarray]:
        """The network's parameters and running statistics."""
        return {PREFIX + name: tensor.detach().cpu().numpy() for name, tensor in self.network.state_dict().items()}

    def load_weights(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `weights` returned; raises InputError if the layers differ."""
        own = self.network.state_dict()
        given = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
        # safetensors turns a scalar into a vector of length one
        fits = own.keys() == given.keys() and all(own[key].numel() == given[key].size for key in own)
        if not fits:
            raise InputError("the weights in the bundle belong to another network", do="train the model again")
        self.network.load_state_dict({k: torch.tensor(given[k]).reshape(own[k].shape) for k in own})

    def facts(self) -> dict[str, Any]:
        """The count of trainable parameters."""
        return {"parameters": sum(p.numel() for p in self.network.parameters() if p.requires_grad)}
