# ruff: noqa: ARG002  # Lightning names the arguments of a callback
"""The Lightning callback that seeds each epoch, watches the loss, keeps the best weights and writes the checkpoint."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from brainuad.errors import InputError
from brainuad.train.sampler import torch_seed

Outputs = Mapping[str, Tensor]


class Means:
    """Running means of loss terms, weighted by batch size; they stay on the device until they are asked for."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.weight = 0

    def add(self, terms: Outputs, weight: int) -> None:
        """One batch."""
        self.weight += weight
        for name, value in terms.items():
            self.totals[name] = self.totals.get(name, 0) + value.detach().double() * weight

    def take(self) -> dict[str, float]:
        """The means so far, and start anew."""
        means = {name: float(total) / self.weight for name, total in self.totals.items()}
        self.totals, self.weight = {}, 0
        return means


class Keep(Callback):  # type: ignore[misc]
    """Everything it knows is plain and travels in the checkpoint: curves, best weights, and the key of the run.

    Lightning counts epochs and steps from its own start; `epoch` and `step` are those of the whole training. A
    checkpoint is written at the end of an epoch and holds no state of Lightning's loops, so that a resumed training is
    a new one which starts at that epoch.
    """

    def __init__(self, path: Path, key: str, seed: int, steps: int, label: str):
        self.path, self.key, self.seed = path, key, seed
        self.epoch = self.step = 0
        self.curves: list[list[Any]] = []
        self.best: dict[str, Any] = {"loss": math.inf, "step": 0, "weights": {}}
        self._training, self._validation = Means(), Means()
        self._unchecked: tuple[int, int, Tensor] | None = None
        self._started = self._seconds = 0.0
        self._bar: tqdm[Any] | None = None
        self._steps, self._label = steps, label

    @property
    def state_key(self) -> str:
        """Its name in the checkpoint."""
        return "keep"

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"key": self.key, "epoch": self.epoch, "step": self.step, "curves": self.curves, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.epoch, self.step = state_dict["epoch"], state_dict["step"]
        self.curves, self.best = state_dict["curves"], state_dict["best"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lightning's own account of loops resumes in the middle of things; ours starts an epoch."""
        checkpoint.pop("loops", None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the progress bar; in a log file it speaks twice a minute."""
        pause = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            desc=self._label,
            total=self._steps,
            initial=self.step,
            unit="step",
            mininterval=pause,
            disable=not trainer.is_global_zero,
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Noise depends on seed and epoch alone."""
        torch.manual_seed(torch_seed(self.seed, self.epoch, trainer.global_rank))
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The loss of the step before is checked: waiting for this one's would leave a GPU idle."""
        self._check()
        self.step += 1
        self._unchecked = self.step, batch_idx + 1, outputs["loss"].detach()
        self._training.add(outputs, len(batch))
        self._seconds = time.perf_counter() - self._started
        if self._bar is not None:
            self._bar.update()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Gather the healthy validation loss."""
        self._validation.add(outputs, len(batch))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Curves, best weights, checkpoint. Validation has run before."""
        self._check()
        self.epoch += 1
        step, validation = self.step, self._validation.take()
        done = step - (int(self.curves[-1][0]) if self.curves else 0)
        rate = done / max(self._seconds, 1e-9)
        self.curves += [[step, f"train_{name}", value] for name, value in self._training.take().items()]
        self.curves += [[step, f"validation_{name}", value] for name, value in validation.items()]
        self.curves.append([step, "steps_per_second", rate])
        loss = validation.get("loss", math.nan)
        if validation and not math.isfinite(loss):
            raise InputError(f"the healthy validation loss is {loss} after step {step}", do=REMEDY)
        if validation and loss < self.best["loss"]:
            weights = {k: v.detach().cpu().clone() for k, v in pl_module.network.state_dict().items()}
            self.best = {"loss": loss, "step": step, "weights": weights}
        part = self.path.with_suffix(".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(self.path)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the progress bar."""
        if self._bar is not None:
            self._bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the progress bar."""
        self.on_train_end(trainer, pl_module)

    def _check(self) -> None:
        if self._unchecked is None:
            return
        step, batch, loss = self._unchecked
        self._unchecked = None
        if not torch.isfinite(loss):
            kept = self.path if self.path.exists() else None
            why = "the file holds the last good weights" if kept else "no epoch was whole before"
            what = f"the training loss is {loss.item()} at step {step} (batch {batch} of epoch {self.epoch + 1})"
            raise InputError(what, file=kept, why=why, do=REMEDY)


REMEDY = "lower train.lr, use precision 32-true, and look for odd intensities in the overlays of preprocess"
