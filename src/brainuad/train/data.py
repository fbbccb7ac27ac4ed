"""Training and validation examples for Lightning."""

from __future__ import annotations

import signal
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from brainuad.cluster.stop_monitor import STOP_SIGNALS, WARNING_SIGNALS
from brainuad.config.network import Optimisation
from brainuad.methods.shared.neural import DrawnExamples, Examples
from brainuad.train.sampler import batches, numbers

AHEAD = 2
"""Batches that each worker draws ahead of the network: this bounds their memory."""


class _Items(Dataset[Tensor]):
    """Examples, fetched batch by batch."""

    def __init__(self, examples: Examples):
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, indices: list[int]) -> Tensor | None:
        return self.examples.fetch(indices) if indices else None


class ExampleBatches(LightningDataModule):  # type: ignore[misc]
    """A loader per epoch, whose batches depend on seed and epoch alone.

    Examples that are drawn come from `workers` other processes, which draw ahead of the network; 0 draws them here.
    Their number changes no example.

    `start`: the epoch that training starts at, and the number of its batches that are done. If these are all, the epoch
    has one batch that is None: Lightning takes no step on it, and continues with validation.
    """

    def __init__(
        self,
        training: Examples,
        validation: Examples | None,
        train: Optimisation,
        seed: int,
        start: tuple[int, int],
        workers: int = 0,
    ):
        super().__init__()
        self.training, self.validation, self.settings, self.seed, self.start = training, validation, train, seed, start
        self.workers = workers

    def train_dataloader(self) -> DataLoader[Tensor]:
        """The batches of the trainer's present epoch."""
        trainer: Any = self.trainer
        epoch, done = self.start
        place = epoch + trainer.current_epoch, trainer.global_rank, trainer.world_size
        if isinstance(self.training, DrawnExamples):
            order = numbers(len(self.training), self.settings, *place)
        else:
            order = batches(len(self.training), self.settings, self.seed, *place)
        return self._loader(self.training, order if trainer.current_epoch else order[done:] or [[]])

    def val_dataloader(self) -> DataLoader[Tensor] | list[Any]:
        """All validation examples, in order; every device sees all of them."""
        if self.validation is None:
            return []
        count, size = len(self.validation), self.settings.batch_size
        return self._loader(self.validation, [list(range(i, min(i + size, count))) for i in range(0, count, size)])

    def _loader(self, examples: Examples, order: list[list[int]]) -> DataLoader[Tensor]:
        pinned = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        own = torch.Generator()  # a loader draws a number when it starts: not from the random numbers of the training
        items = _Items(examples)
        ahead: dict[str, Any] = {}
        if self.workers and isinstance(examples, DrawnExamples):
            # forked, so that all share the scans in memory
            ahead = {"num_workers": self.workers, "prefetch_factor": AHEAD, "multiprocessing_context": "fork"}
            ahead["worker_init_fn"] = _leave_signals_to_the_training
        return DataLoader(items, batch_sampler=order, collate_fn=_unchanged, pin_memory=pinned, generator=own, **ahead)


def _leave_signals_to_the_training(_: int) -> None:
    """A signal reaches the whole group of processes: the training needs its batches until it has stopped."""
    for number in (*STOP_SIGNALS, *WARNING_SIGNALS):
        signal.signal(number, signal.SIG_IGN)


def _unchanged(batch: Any) -> Any:
    return batch
