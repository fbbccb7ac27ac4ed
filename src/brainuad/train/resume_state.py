"""State of a training between two steps of an epoch: the means of its losses and its random numbers, on all devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

Outputs = Mapping[str, Tensor]


class RunningMeans:
    """Running means of loss terms, weighted by batch size; they stay on the device until they are read."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.weight = 0

    def add(self, terms: Outputs, weight: int) -> None:
        """Count one batch."""
        self.weight += weight
        for name, value in terms.items():
            self.totals[name] = self.totals.get(name, 0) + value.detach().double() * weight

    def pooled(self, trainer: Trainer) -> RunningMeans:
        """The means over the examples of all devices."""
        pooled = RunningMeans()
        pooled.weight = int(_sum(trainer, torch.tensor(self.weight)))
        pooled.totals = {name: _sum(trainer, total) for name, total in self.totals.items()}
        return pooled

    def take(self) -> dict[str, float]:
        """The means so far; then start anew."""
        means = {name: float(total) / self.weight for name, total in self.totals.items()}
        self.totals, self.weight = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"weight": self.weight, "totals": {name: total.cpu() for name, total in self.totals.items()}}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from this state."""
        self.weight, self.totals = state["weight"], dict(state["totals"])


def random_states(trainer: Trainer) -> dict[str, Tensor]:
    """States of the random numbers of torch and of the GPU, one row per device."""
    device = trainer.strategy.root_device
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if trainer.world_size == 1:
        return {name: state[None] for name, state in states.items()}
    return {name: trainer.strategy.all_gather(state.to(device)).cpu() for name, state in states.items()}


def restore_random_states(trainer: Trainer, states: Mapping[str, Tensor]) -> None:
    """Continue to draw random numbers from these states."""
    own = {name: rows[trainer.global_rank].clone() for name, rows in states.items()}  # torch reads a view wrongly
    torch.set_rng_state(own["cpu"])
    if "cuda" in own and trainer.strategy.root_device.type == "cuda":
        torch.cuda.set_rng_state(own["cuda"], trainer.strategy.root_device)


def maximum(trainer: Trainer, value: int) -> int:
    """The largest value of all devices, on each of them."""
    if trainer.world_size == 1:
        return value
    device = trainer.strategy.root_device
    return int(trainer.strategy.reduce(torch.tensor(value, device=device), reduce_op="max"))


def total(trainer: Trainer, value: float) -> float:
    """The sum of all devices' values, on each of them."""
    return float(_sum(trainer, torch.tensor(value, dtype=torch.float64)))


def _sum(trainer: Trainer, value: Tensor) -> Tensor:
    if trainer.world_size == 1:
        return value
    return trainer.strategy.reduce(value.to(trainer.strategy.root_device), reduce_op="sum")
