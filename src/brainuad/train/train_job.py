"""train: one model with one seed, on the healthy training scans of the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from brainuad.jobs.base import Job, Paths


class TrainInputs(Paths):
    array_caches: list[Path]


class TrainOutputs(Paths):
    weights: Path
    bundle: Path
    record: Path


class TrainJob(Job):
    """Trains a model, and goes on from its checkpoint if it was stopped."""

    rule = "train"
    resumes: ClassVar[bool] = True
    untracked: ClassVar[frozenset[str]] = frozenset({"accelerator", "workers", "scratch", "cite", "label"})
    inputs: TrainInputs
    outputs: TrainOutputs
    model: dict[str, Any]
    """Settings of the model, without `map` and `cite`."""
    seed: int
    label: str
    """Of the model in the study."""
    threads: int
    devices: int
    accelerator: Literal["auto", "cpu", "gpu"]
    scratch: str | None
    workers: int = 0
    cite: str | None = None
    """Key of the model's paper."""
    sequences: list[str] = []
    """That the model sees; none where a scan is one sequence."""

    def run(self) -> None:
        from brainuad.cluster.scratch import scratch_copies
        from brainuad.config.model import validate
        from brainuad.config.study import Compute
        from brainuad.formats.array_cache import require_data_set
        from brainuad.train.training import train

        model = validate(self.model)
        compute = Compute(
            threads=self.threads, devices=self.devices, accelerator=self.accelerator, workers=self.workers
        )
        tags = {"family": model.family, **self.tags}
        for array_cache in self.inputs.array_caches:
            require_data_set(array_cache, array_cache.name)
        with scratch_copies(self.inputs.array_caches, self.scratch) as array_caches:
            train(array_caches, model, self.seed, compute, self.outputs.bundle.parent, tags, self.sequences)

    def describe(self) -> list[str]:
        from brainuad.config.model import validate

        source = f" [@{self.cite}]" if self.cite else ""
        settings = validate(self.model)
        what, *more = settings.describe()
        seen = settings.describe_sequences(self.sequences) if self.sequences else []
        return [f"Model `{self.label}`{source} is {what}.", *more, *seen]

    def code_roots(self) -> list[str]:
        return [f"brainuad.methods.{self.model['family']}"]


JOB = TrainJob
