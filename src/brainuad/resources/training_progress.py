# ruff: noqa: ARG002  # Lightning names the arguments of a callback
"""The progress of a training: a line in the terminal or its log, and its curves in a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning import Callback, LightningModule, Trainer

from brainuad.resources.live import CURVES, CurveFile, write_progress
from brainuad.status_line import Count

FIRST_STAGE = "last"
"""Stem of the name of the first stage's checkpoint; that of another stage is the stage's name."""
TOLD_SECONDS = 10.0
"""Between two times that a training says how far it is."""


@runtime_checkable
class HasCurves(Protocol):
    """The callback that gathers the curves of a stage (step, name, value) and writes its checkpoint `path`.

    `used`: time that the training took, and when it started, in s since 1970.
    """

    curves: list[list[Any]]
    path: Path
    used: dict[str, float]


class TrainingProgress(Callback):  # type: ignore[misc]
    """Counts the steps of the whole training.

    Also appends the curves, once the checkpoint that holds them is written, to a file beside it, and says in another
    file how far the stage is.
    `done`: steps that earlier turns of the training have taken; `total`: steps of the whole training.
    """

    def __init__(self, done: int, total: int, label: str):
        self._done, self._total, self._label = done, total, label
        self._count: Count | None = None
        self._curves: CurveFile | None = None
        self._checkpoint: Path | None = None
        self._taken, self._began, self._tell_at = 0, 0.0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._count = Count(self._label, "steps", self._total, self._done)
        writer = _writer(trainer)
        if writer is not None and trainer.is_global_zero:
            stage = "" if writer.path.stem == FIRST_STAGE else writer.path.stem
            path = writer.path.with_name(CURVES)
            self._curves = CurveFile(path, writer.used["started"], stage, writer.curves)
            self._checkpoint, self._began = writer.path, time.time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch is not None:
            self._taken += 1
            if self._count is not None:
                self._count.step()
            if (now := time.monotonic()) >= self._tell_at:
                self._tell_at = now + TOLD_SECONDS
                self._tell()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._curves is not None and (writer := _writer(trainer)) is not None:
            self._curves.append(writer.curves)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._count is not None:
            self._count.close()
        self._tell()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)

    def _tell(self) -> None:
        if self._checkpoint is not None:
            write_progress(self._checkpoint, self._began, (self._done, self._done + self._taken, self._total))


def _writer(trainer: Trainer) -> HasCurves | None:
    return next((each for each in trainer.callbacks if isinstance(each, HasCurves)), None)
