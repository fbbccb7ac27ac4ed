# ruff: noqa: ARG002  # Lightning names the arguments of a callback
"""The progress bar of a training."""

from __future__ import annotations

import sys
from typing import Any

from lightning import Callback, LightningModule, Trainer
from tqdm import tqdm  # type: ignore[import-untyped]

from brainuad.train.keep import Keep


class Bar(Callback):  # type: ignore[misc]
    """Counts the steps of the whole training; in a log file it speaks twice a minute."""

    def __init__(self, keep: Keep, steps: int, label: str):
        self._keep, self._steps, self._label = keep, steps, label
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open it."""
        self._bar = tqdm(
            desc=self._label,
            total=self._steps,
            initial=self._keep.step,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            disable=not trainer.is_global_zero,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One more."""
        if self._bar is not None and batch is not None:
            self._bar.update()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close it."""
        if self._bar is not None:
            self._bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close it."""
        self.on_train_end(trainer, pl_module)
