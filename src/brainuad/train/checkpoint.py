# ruff: noqa: ARG002  # Lightning names the arguments of a callback
"""The Lightning callback that seeds each epoch, watches the loss, keeps the best weights and writes the checkpoint."""

from __future__ import annotations

import errno
import io
import math
import os
import time
import zipfile
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor

from brainuad.cluster.stop_monitor import StopMonitor
from brainuad.errors import InputError
from brainuad.formats.files import unwritable
from brainuad.train.resume_state import RunningMeans, maximum, random_states, restore_random_states, total
from brainuad.train.sampler import torch_seed

SECONDS_BETWEEN = 600.0
"""Seconds of training after which a checkpoint is written within an epoch."""


STATE_KEY = "training"
"""Name of the callback's state among the callbacks of a checkpoint."""


class HaltError(Exception):
    """The training has stopped between two steps; the checkpoint is written."""


class BrokenCheckpointError(Exception):
    """The file is cut, altered, or no checkpoint; the message says which."""


def read(path: Path) -> dict[str, Any]:
    """A checkpoint, once its bytes are compared with the checksums that torch wrote with them and does not look at.

    Raises BrokenCheckpointError, and OSError where the file cannot be read at present, for it may be whole.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if altered := archive.testzip():
                raise BrokenCheckpointError(f"{altered} in it does not fit its checksum")
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not {"key", "batches_done"} <= saved["callbacks"][STATE_KEY].keys():
            raise BrokenCheckpointError("it lacks the state of the training")
    except (BrokenCheckpointError, FileNotFoundError, MemoryError):
        raise
    except OSError as error:
        if error.errno == errno.EINVAL:  # torch and zipfile look for parts before the beginning of a cut file
            raise BrokenCheckpointError("it is cut") from error
        raise
    except Exception as error:  # of many kinds
        raise BrokenCheckpointError(str(error) or type(error).__name__) from error
    return saved


class DirectCheckpointIO(TorchCheckpointIO):  # type: ignore[misc]
    """Writes a checkpoint where it shall lie.

    Lightning's own way leads through the folder of temporary files, which on many nodes is small, or memory.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Raises OSError where the file system refuses."""
        content = io.BytesIO()  # a file would make torch raise errors without their number
        torch.save(checkpoint, content)
        with open(path, "wb") as file:
            file.write(content.getbuffer())


class _Next(IntEnum):
    """What follows a step. Where devices differ, the highest value applies."""

    ANOTHER, CHECKPOINT, STOP, FAULT = range(4)


class CheckpointCallback(Callback):  # type: ignore[misc]
    """Seeds epochs, checks losses, keeps the best weights, and writes checkpoints.

    Its state is plain and part of the checkpoint: curves, best weights, and the key of the run. Lightning counts epochs
    and steps from its own start; `epoch` and `step` are those of the whole training, and `batches_done` counts the
    steps of the present epoch. A checkpoint holds no state of Lightning's loops: a resumed training is a new one, whose
    first epoch has the remaining batches. It is written at the end of an epoch, ten minutes after the last one, and
    when the training must stop. `used`: time that earlier turns of the training took (`brainuad.resources.clock`); it
    is in the checkpoint for the run record alone.
    """

    def __init__(self, path: Path, key: str, seed: int, monitor: StopMonitor, used: Mapping[str, float]):
        self.path, self.key, self.seed, self.monitor = path, key, seed, monitor
        self.used, self._before, self._made, self._cpu = dict(used), dict(used), time.monotonic(), 0.0
        self.epoch = self.batches_done = self.step = 0
        self.curves: list[list[Any]] = []
        self.best: dict[str, Any] = {"loss": math.inf, "step": 0, "weights": {}}
        self._training, self._validation = RunningMeans(), RunningMeans()
        self._pooled: dict[str, Any] = self._training.state()
        self._random_states: dict[str, Tensor] = {}
        self._unchecked: tuple[int, int, Tensor] | None = None
        self._started = self._ticked = self._written = self._seconds = 0.0

    @property
    def state_key(self) -> str:
        """Name of the callback's state in the checkpoint."""
        return STATE_KEY

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        within = {
            "batches_done": self.batches_done,
            "means": self._pooled,
            "random_states": self._random_states,
            "seconds": self._seconds,
        }
        whole = {"key": self.key, "epoch": self.epoch, "step": self.step, "curves": self.curves, "best": self.best}
        return {**whole, **within, "used": self.used}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from this state."""
        self.epoch, self.batches_done, self.step = (state_dict[name] for name in ("epoch", "batches_done", "step"))
        self.curves, self.best = state_dict["curves"], state_dict["best"]
        self._pooled, self._random_states = state_dict["means"], state_dict["random_states"]
        self._seconds = state_dict["seconds"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remove Lightning's state of its loops, which would resume inside a loop; ours starts a training."""
        checkpoint.pop("loops", None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals again, which Lightning has just taken over, and restore the means of the resumed epoch."""
        self.monitor.install_signal_handlers()
        self._written, self._cpu = time.monotonic(), time.process_time()
        if trainer.is_global_zero:
            self._training.load(self._pooled)
            self.monitor.record_resume(self.step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Random numbers depend on seed and epoch alone."""
        if self.batches_done:
            restore_random_states(trainer, self._random_states)
        else:
            torch.manual_seed(torch_seed(self.seed, self.epoch, trainer.global_rank))
            self._seconds = 0.0
        self._random_states = {}
        self._ticked = time.monotonic()
        self._started = self._ticked - self._seconds

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the loss of the step before: waiting for this one's would leave a GPU idle."""
        if batch is None:  # all batches of the epoch were done when the training was resumed
            return
        fault = not self._finite()
        if not fault:
            self.step += 1
            self.batches_done += 1
            self._unchecked = self.step, self.batches_done, outputs["loss"].detach()
            self._training.add(outputs, len(batch))
            took = self._tick()
            self._seconds = self._ticked - self._started
            if trainer.is_global_zero:
                self.monitor.record_step(self.step, took)
        self._continue_or_stop(trainer, fault)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the random states: a training that stops during validation repeats all of it with the same numbers."""
        self._random_states = random_states(trainer)
        self._ticked = time.monotonic()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the healthy validation loss."""
        self._validation.add(outputs, len(batch))
        self.monitor.record_duration(self._tick())
        self._continue_or_stop(trainer, fault=False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Curves, best weights, checkpoint. Validation has run before."""
        if maximum(trainer, 0 if self._finite() else _Next.FAULT):
            raise self._fault()
        self.epoch += 1
        step, validation = self.step, self._validation.take()
        rate = self.batches_done / max(self._seconds, 1e-9)
        means = self._training.pooled(trainer).take()
        self.curves += [[step, f"train_{name}", value] for name, value in means.items()]
        self.curves += [[step, f"validation_{name}", value] for name, value in validation.items()]
        self.curves.append([step, "steps_per_second", rate])
        loss = validation.get("loss", math.nan)
        if validation and not math.isfinite(loss):
            raise InputError(f"the healthy validation loss is {loss} after step {step}", do=REMEDY)
        if validation and loss < self.best["loss"]:
            weights = {k: v.detach().cpu().clone() for k, v in pl_module.kept.state_dict().items()}
            self.best = {"loss": loss, "step": step, "weights": weights}
        self.batches_done, self._seconds, self._training, self._random_states = 0, 0.0, RunningMeans(), {}
        self._unchecked = None
        self._write(trainer)

    def _continue_or_stop(self, trainer: Trainer, fault: bool) -> None:
        """Between two steps: write a checkpoint if one is due, and stop if a signal or the job's time limit says so."""
        due = time.monotonic() - self._written > SECONDS_BETWEEN
        own = _Next.STOP if self.monitor.should_stop() else _Next.CHECKPOINT if due else _Next.ANOTHER
        agreed = maximum(trainer, _Next.FAULT if fault else own)
        if agreed in (_Next.CHECKPOINT, _Next.STOP) and maximum(trainer, 0 if self._finite() else _Next.FAULT):
            agreed = _Next.FAULT
        if agreed == _Next.FAULT:
            raise self._fault()
        if agreed != _Next.ANOTHER:
            before = self._random_states
            self._random_states = before or random_states(trainer)
            self._write(trainer)
            self._random_states = before
        if agreed == _Next.STOP:
            self.monitor.mark_stopped()
            raise HaltError

    def _write(self, trainer: Trainer) -> None:
        started = time.monotonic()
        self._pooled = self._training.pooled(trainer).state()
        self.used["seconds"] = self._before["seconds"] + started - self._made
        self.used["cpu_seconds"] = self._before["cpu_seconds"] + total(trainer, time.process_time() - self._cpu)
        part = self.path.with_suffix(".part")
        try:
            trainer.save_checkpoint(part)
            if trainer.is_global_zero:
                with part.open("rb+") as file:  # a node that goes down would else leave a new name and no content
                    os.fsync(file.fileno())
                part.replace(self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise unwritable(self.path, error) from error
        self._written = self._ticked = time.monotonic()
        self.monitor.record_checkpoint(self._written - started)

    def _tick(self) -> float:
        before, self._ticked = self._ticked, time.monotonic()
        return self._ticked - before

    def _finite(self) -> bool:
        return self._unchecked is None or bool(torch.isfinite(self._unchecked[2]))

    def _fault(self) -> InputError:
        assert self._unchecked is not None
        step, batch, loss = self._unchecked
        kept = self.path if self.path.exists() else None
        why = "the file holds the last good weights" if kept else "no epoch was complete before"
        value = loss.item() if not torch.isfinite(loss) else "not finite on another device"
        what = f"the training loss is {value} at step {step} (batch {batch} of epoch {self.epoch + 1})"
        return InputError(what, file=kept, why=why, do=REMEDY)


REMEDY = "lower train.lr, use precision 32-true, and look for odd intensities in the overlays of preprocess"
