"""split: roles of a data set's subjects, and the state of each scan."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.datasets import Split
from brainuad.config.recipe import Quality
from brainuad.jobs.base import Job, Paths


class SplitInputs(Paths):
    table: Path
    marks: list[Path]


class SplitOutputs(Paths):
    table: Path


class SplitJob(Job):
    """Draws train, validation and test subjects of a data set."""

    rule = "split"
    untracked: ClassVar[frozenset[str]] = frozenset({"preprocessed"})
    inputs: SplitInputs
    outputs: SplitOutputs
    split: Split | None
    seed: int
    healthy: bool
    decisions: dict[str, str]
    """A person's decisions, by scan: `exclude` or `include`."""
    exclude: list[str]
    limits: Quality
    preprocessed: Path
    """Folder of the data set's preprocessed scans."""

    def run(self) -> None:
        from brainuad.formats import batch, status
        from brainuad.normalize.split import SplitRules, split

        statuses = {scan: self.preprocessed / scan / status.NAME for scan in batch.read(self.inputs.marks)}
        rules = SplitRules(self.split, self.healthy, self.seed, self.limits, self.decisions)
        split(self.inputs.table, statuses, rules, self.outputs.table)


JOB = SplitJob
