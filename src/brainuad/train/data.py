"""Training and validation examples for Lightning."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from brainuad.config.network import Optimisation
from brainuad.methods.shared.neural import Examples
from brainuad.train.sampler import batches


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

    `start`: the epoch that training starts at, and the number of its batches that are done. If these are all, the epoch
    has one batch that is None: Lightning takes no step on it, and continues with validation.
    """

    def __init__(
        self, training: Examples, validation: Examples | None, train: Optimisation, seed: int, start: tuple[int, int]
    ):
        super().__init__()
        self.training, self.validation, self.settings, self.seed, self.start = training, validation, train, seed, start

    def train_dataloader(self) -> DataLoader[Tensor]:
        """The batches of the trainer's present epoch."""
        trainer: Any = self.trainer
        epoch, done = self.start
        place = epoch + trainer.current_epoch, trainer.global_rank, trainer.world_size
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
        return DataLoader(items, batch_sampler=order, collate_fn=_unchanged, pin_memory=pinned, generator=own)


def _unchanged(batch: Any) -> Any:
    return batch
