# ruff: noqa: ARG002  # Lightning names the arguments of a callback
"""The progress bar of a training."""

from __future__ import annotations

import sys
from typing import Any

from lightning import Callback, LightningModule, Trainer
from tqdm import tqdm  # type: ignore[import-untyped]


class TrainingProgressBar(Callback):  # type: ignore[misc]
    """Counts the steps of the whole training; into a log file it writes twice a minute.

    `done`: steps that earlier turns of the training have taken; `total`: steps of the whole training.
    """

    def __init__(self, done: int, total: int, label: str):
        self._done, self._total, self._label = done, total, label
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bar = tqdm(
            desc=self._label,
            total=self._total,
            initial=self._done,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            disable=not trainer.is_global_zero,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is not None and batch is not None:
            self._bar.update()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            self._bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)
