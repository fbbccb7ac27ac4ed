"""split: roles of a data set's subjects, and the state of each scan."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.datasets import Split
from brainuad.jobs.base import Job, Paths


class SplitInputs(Paths):
    table: Path
    quality: Path


class SplitOutputs(Paths):
    table: Path


class SplitJob(Job):
    """Draws train, validation and test subjects of a data set."""

    rule = "split"
    inputs: SplitInputs
    outputs: SplitOutputs
    split: Split | None
    seed: int
    healthy: bool
    decisions: dict[str, str]
    """A person's decisions, by scan: `exclude` or `include`."""

    def run(self) -> None:
        from brainuad.normalize.split import SplitRules, split

        rules = SplitRules(self.split, self.healthy, self.seed, self.decisions)
        split(self.inputs.table, self.inputs.quality, rules, self.outputs.table)


JOB = SplitJob
