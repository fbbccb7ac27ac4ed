"""Trains a network with Lightning: seeded, deterministic, and resumed where it was killed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.multiprocessing.spawn import ProcessRaisedException

from brainuad.cluster.stop import Watch
from brainuad.config.network import Optimisation
from brainuad.config.study import Compute
from brainuad.errors import InputError
from brainuad.methods.base import TrainingScans
from brainuad.methods.neural import Examples, NeuralMethod, Stage
from brainuad.resources.clock import Clock
from brainuad.train.data import Batches
from brainuad.train.faults import Faults, TellingTrainer
from brainuad.train.keep import HaltError, Keep
from brainuad.train.progress import Bar
from brainuad.train.sampler import epochs, stage_seed, steps

CHECKPOINT = "last.ckpt"
"""The first stage's; those of others carry their names."""


@dataclass(frozen=True)
class Fitted:
    """How a training went. `curves`: (step, name, value)."""

    curves: list[tuple[int, str, float]]
    facts: dict[str, Any]


def fit_network(
    method: NeuralMethod,
    training: TrainingScans,
    validation: TrainingScans | None,
    seed: int,
    compute: Compute,
    folder: Path,
    key: str,
    label: str = "train",
    callbacks: list[Callback] | None = None,
    watch: Watch | None = None,
    clock: Clock | None = None,
) -> Fitted:
    """Train the method's network, stage by stage, and leave the kept weights in it.

    A stage goes on from its checkpoint in `folder`, at the step that this was written after. `key` names settings, data
    and seed: a checkpoint of another key is put aside with a warning. On a CPU the weights depend on seed, data,
    settings and the number of threads alone. `clock` learns what earlier turns of the training have cost. Raises
    InputError when a loss is not finite, and Stopped, with the checkpoint written, where `watch` wants it.
    """
    torch.set_num_threads(compute.threads)
    folder.mkdir(parents=True, exist_ok=True)
    method.initialise(seed)
    data = method.examples(training), None if validation is None else method.examples(validation)
    curves: list[tuple[int, str, float]] = []
    facts: dict[str, Any] = {"examples": len(data[0]), "steps": 0}
    watch, clock = watch or Watch(), clock or Clock()
    for number, stage in enumerate(method.stages()):
        run = _Run(stage, *data, stage_seed(seed, number), compute, folder, key, label, watch, clock)
        done = run.fit(method, callbacks or [])
        prefix = f"{stage.name}_" if stage.name else ""
        curves += [(facts["steps"] + step, prefix + name, value) for step, name, value in done.curves]
        steps_before = facts["steps"]
        facts |= {prefix + name: value for name, value in done.facts.items()}
        facts["steps"] = steps_before + done.facts["steps"]
    return Fitted(curves, facts)


@dataclass(frozen=True)
class _Run:
    """One stage's training."""

    stage: Stage
    examples: Examples
    held_out: Examples | None
    seed: int
    compute: Compute
    folder: Path
    key: str
    label: str
    watch: Watch
    clock: Clock

    def fit(self, method: NeuralMethod, callbacks: list[Callback]) -> Fitted:
        """Optimisation from a fresh start or from the stage's checkpoint."""
        train, path = self.stage.train, self.folder / f"{self.stage.name or 'last'}.ckpt"
        label = f"{self.label} {self.stage.name}".strip()
        saved = _checkpoint(path, self.key)
        at: dict[str, Any] = {"epoch": 0, "batch": 0, "step": 0} if saved is None else saved["callbacks"]["keep"]
        done = int(at["epoch"])
        if "used" in at:
            self.clock.go_on(at["used"])
        if done < epochs(train):
            keep = Keep(path, self.key, self.seed, self.watch, self.clock.so_far())
            data = Batches(self.examples, self.held_out, train, self.seed, start=(done, int(at["batch"])))
            bar = Bar(keep, steps(len(self.examples), train), label)
            with _quiet():
                faults, length = Faults(self.compute.devices), epochs(train) - done
                trainer = _trainer(train, self.compute, self.folder, length, [keep, bar, *callbacks], faults)
                resumed = None if saved is None else path
                try:
                    trainer.fit(self.stage.objective(), datamodule=data, ckpt_path=resumed, weights_only=True)
                except (HaltError, ProcessRaisedException):
                    if self.watch.settled:
                        raise self.watch.ended(f"the training {self.stage.name}".strip()) from None
                    if fault := faults.first():
                        raise fault from None
                    raise
            saved = torch.load(path, map_location="cpu", weights_only=True)
        assert saved is not None
        state = saved["callbacks"]["keep"]
        best = train.keep == "best" and bool(state["best"]["weights"])
        last = {n.removeprefix("network."): t for n, t in saved["state_dict"].items() if n.startswith("network.")}
        method.network.load_state_dict(state["best"]["weights"] if best else last)
        kept = state["best"]["step"] if best else state["step"]
        facts = {"steps": state["step"], "kept_step": kept, "resumed_at_epoch": done, "resumed_at_step": at["step"]}
        if state["best"]["weights"]:
            facts["best_validation_loss"] = state["best"]["loss"]
        return Fitted([(int(step), str(name), float(value)) for step, name, value in state["curves"]], facts)


def _trainer(
    train: Optimisation, compute: Compute, folder: Path, length: int, callbacks: list[Callback], faults: Faults
) -> Trainer:
    if compute.accelerator == "gpu" and not torch.cuda.is_available():
        raise InputError("there is no GPU here", do="set compute.accelerator to auto or cpu")
    on_cpu = compute.accelerator == "cpu" or not torch.cuda.is_available()
    # a step of a critic or of a later stage leaves parts of the network without a gradient
    shared = f"ddp_{'fork' if on_cpu else 'spawn'}_find_unused_parameters_true"
    return TellingTrainer(
        faults,
        accelerator="cpu" if on_cpu else "gpu",
        devices=compute.devices,
        strategy="auto" if compute.devices == 1 else shared,
        sync_batchnorm=compute.devices > 1 and not on_cpu,  # torch has it for GPUs alone
        precision=train.precision,
        max_epochs=length,
        deterministic=True,
        callbacks=callbacks,
        plugins=[LightningEnvironment()],  # else Lightning takes a Slurm allocation for its own and starts processes
        default_root_dir=folder,
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
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found, _ = (saved["callbacks"]["keep"][name] for name in ("key", "batch"))
    except FileNotFoundError:
        return None
    except OSError as error:
        why, do = str(error.strerror or error), "run the same command again when its disk answers, or move it away"
        raise InputError(f"cannot read {path.name}", file=path, why=why, do=do) from error
    except MemoryError:
        raise
    except Exception as error:  # torch raises many kinds for a broken file, but none of the above
        fault = f"is broken ({error})"
    else:
        if found == key:
            return saved
        fault = "was made with other settings or data"
    aside = path.with_name(f"{path.name}.old")
    path.replace(aside)
    warnings.warn(f"{path} {fault}: it is put aside as {aside.name}, training starts from the beginning", stacklevel=2)
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice, and undo the global switches that a deterministic trainer sets."""
    logger = logging.getLogger("lightning.pytorch")
    switches: Any = torch.utils.deterministic
    level, fill = logger.level, switches.fill_uninitialized_memory
    before = torch.are_deterministic_algorithms_enabled()
    logger.setLevel(logging.ERROR)
    switches.fill_uninitialized_memory = False  # a safeguard against bugs that costs time
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(level)
        switches.fill_uninitialized_memory = fill
        torch.use_deterministic_algorithms(before)
