"""Trains a network with Lightning: seeded, deterministic, and resumed at the step where it was stopped."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.multiprocessing.spawn import ProcessRaisedException

from brainuad.cluster.stop_monitor import StopMonitor
from brainuad.config.network import Optimisation
from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.formats.files import unwritable
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.neural import Examples, NeuralMethod, Stage
from brainuad.resources.clock import Clock
from brainuad.resources.training_progress import TrainingProgress
from brainuad.train import checkpoint
from brainuad.train.checkpoint import (
    STATE_KEY,
    BrokenCheckpointError,
    CheckpointCallback,
    DirectCheckpointIO,
    HaltError,
)
from brainuad.train.data import ExampleBatches
from brainuad.train.process_errors import ErrorReportingTrainer, SharedErrors
from brainuad.train.sampler import epochs, stage_seed, steps

CHECKPOINT = "last.ckpt"
"""Checkpoint of the first stage; that of another stage has its name."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """One training. `key` names settings, data and seed; checkpoints lie in `folder`; `label` is for progress bars.

    `monitor` says when to stop; `clock` learns the time that earlier turns of the training took.
    """

    seed: int
    compute: Compute
    folder: Path
    key: str
    label: str = "train"
    monitor: StopMonitor = field(default_factory=StopMonitor)
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training. `curves`: (step, name, value)."""

    curves: list[tuple[int, str, float]]
    facts: dict[str, Any]


def fit_network(
    method: NeuralMethod,
    training: TrainingScans,
    validation: TrainingScans | None,
    run: TrainingRun,
    callbacks: Sequence[Callback] = (),
) -> TrainingResult:
    """Train the method's network, stage by stage, and load the kept weights into it.

    A stage resumes from its checkpoint in the run's folder, at the step after which this was written. A checkpoint of
    another key is put aside with a warning. On a CPU the weights depend on seed, data, settings and the number of
    threads alone. Raises InputError when a loss is not finite, and TrainingStopped, with the checkpoint written, when
    `monitor` says so.
    """
    torch.set_num_threads(run.compute.threads)
    run.folder.mkdir(parents=True, exist_ok=True)
    method.initialise(run.seed)
    method.observe(training)
    examples = method.examples(training)
    held_out = None if validation is None else method.examples(validation)
    curves: list[tuple[int, str, float]] = []
    facts: dict[str, Any] = {"examples": len(examples), "steps": 0}
    for number, stage in enumerate(method.stages()):
        done = _StageTraining(stage, stage_seed(run.seed, number), examples, held_out, run).fit(method, callbacks)
        prefix = f"{stage.name}_" if stage.name else ""
        curves += [(facts["steps"] + step, prefix + name, value) for step, name, value in done.curves]
        steps_before = facts["steps"]
        facts |= {prefix + name: value for name, value in done.facts.items()}
        facts["steps"] = steps_before + done.facts["steps"]
    return TrainingResult(curves, facts)


@dataclass(frozen=True)
class _StageTraining:
    """The training of one stage."""

    stage: Stage
    seed: int
    examples: Examples
    held_out: Examples | None
    run: TrainingRun

    def fit(self, method: NeuralMethod, callbacks: Sequence[Callback]) -> TrainingResult:
        """Optimise from a fresh start or from the stage's checkpoint."""
        train, path = self.stage.train, self.run.folder / f"{self.stage.name or 'last'}.ckpt"
        saved = _checkpoint(path, self.run.key)
        start: dict[str, Any] = {"epoch": 0, "batches_done": 0, "step": 0}
        if saved is not None:
            start = saved["callbacks"][STATE_KEY]
            self.run.clock.add_earlier_turns(start["used"])
            logger.info("resume %s at step %d", path.name, start["step"])
        done = int(start["epoch"])
        if done < epochs(train):
            self._optimise(path, start, None if saved is None else path, callbacks)
            saved = _checkpoint(path, self.run.key)
        if saved is None:
            why = "its last checkpoint was altered after it was written"
            raise InputError("the end of the training is lost", file=path, why=why, do="check the disk, then run again")
        state = saved["callbacks"][STATE_KEY]
        best = train.keep == "best" and bool(state["best"]["weights"])
        kept_part = "averaged." if train.ema else "network."
        last = {n.removeprefix(kept_part): t for n, t in saved["state_dict"].items() if n.startswith(kept_part)}
        method.network.load_state_dict(state["best"]["weights"] if best else last)
        kept = state["best"]["step"] if best else state["step"]
        facts = {"steps": state["step"], "kept_step": kept, "resumed_at_epoch": done, "resumed_at_step": start["step"]}
        if state["best"]["weights"]:
            facts["best_validation_loss"] = state["best"]["loss"]
        return TrainingResult([(int(step), str(name), float(value)) for step, name, value in state["curves"]], facts)

    def _optimise(self, path: Path, start: dict[str, Any], resumed: Path | None, callbacks: Sequence[Callback]) -> None:
        """Train from `start`, which the checkpoint `resumed` says if there is one, and write the checkpoint `path`."""
        train, run = self.stage.train, self.run
        done = int(start["epoch"])
        writer = CheckpointCallback(path, run.key, self.seed, run.monitor, run.clock.so_far())
        position = (done, int(start["batches_done"]))
        data = ExampleBatches(self.examples, self.held_out, train, self.seed, position, run.compute.workers)
        label = f"{run.label} {self.stage.name}".strip()
        total = steps(len(self.examples), train)
        progress = TrainingProgress(int(start["step"]), total, label)
        objective: Any = self.stage.objective()
        objective.total_steps = total
        with _quiet():
            errors = SharedErrors(run.compute.devices)
            trainer = _trainer(train, run, epochs(train) - done, [writer, progress, *callbacks], errors)
            try:
                trainer.fit(objective, datamodule=data, ckpt_path=resumed, weights_only=True)
            except (HaltError, ProcessRaisedException):
                if run.monitor.stopped:
                    raise run.monitor.stop_error(f"the training {self.stage.name}".strip()) from None
                if error := errors.first():
                    raise error from None
                raise


def _trainer(
    train: Optimisation, run: TrainingRun, length: int, callbacks: list[Callback], errors: SharedErrors
) -> Trainer:
    compute = run.compute
    if compute.accelerator == "gpu" and not torch.cuda.is_available():
        raise InputError("there is no GPU here", do="set compute.accelerator to auto or cpu")
    on_cpu = compute.accelerator == "cpu" or not torch.cuda.is_available()
    # a step of a critic or of a later stage leaves parts of the network without a gradient
    shared = f"ddp_{'fork' if on_cpu else 'spawn'}_find_unused_parameters_true"
    return ErrorReportingTrainer(
        errors,
        accelerator="cpu" if on_cpu else "gpu",
        devices=compute.devices,
        strategy="auto" if compute.devices == 1 else shared,
        sync_batchnorm=compute.devices > 1 and not on_cpu,  # torch has it for GPUs alone
        precision=train.precision,
        max_epochs=length,
        deterministic=True,
        callbacks=callbacks,
        # without the first, Lightning takes a Slurm allocation for its own and starts processes
        plugins=[LightningEnvironment(), DirectCheckpointIO()],
        default_root_dir=run.folder,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,  # the batches of an epoch are drawn when it starts
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    """The checkpoint of this very training, if there is one; a broken file, or another's, is put aside.

    Raises InputError if the file cannot be read at present, for it may be whole.
    """
    try:
        saved = checkpoint.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        do = "run the same command again when its disk answers, or delete the file to train from the beginning"
        why = error.strerror or str(error)
        raise InputError(f"cannot read {path.name}", file=path, why=why, do=do) from error
    except BrokenCheckpointError as error:
        fault = f"is broken ({error})"
    else:
        if saved["callbacks"][STATE_KEY]["key"] == key:
            return saved
        fault = "was made with other settings or data"
    aside = path.with_name(f"{path.name}.old")
    try:
        path.replace(aside)
    except OSError as error:
        raise unwritable(aside, error) from error
    logger.warning("%s %s: it is put aside as %s, training starts from the beginning", path, fault, aside.name)
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice, and undo the global switches that a deterministic trainer sets."""
    lightning_logger = logging.getLogger("lightning.pytorch")
    switches: Any = torch.utils.deterministic
    level, fill = lightning_logger.level, switches.fill_uninitialized_memory
    before = torch.are_deterministic_algorithms_enabled()
    lightning_logger.setLevel(logging.ERROR)
    switches.fill_uninitialized_memory = False  # a safeguard against bugs that costs time
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        lightning_logger.setLevel(level)
        switches.fill_uninitialized_memory = fill
        torch.use_deterministic_algorithms(before)
