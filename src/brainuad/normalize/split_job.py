"""split: roles of a data set's subjects, and the state of each scan."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.datasets import Split
from brainuad.config.told import listed
from brainuad.jobs.base import Job, Paths

NAMES = {"train": "training"}


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

    def describe(self) -> list[str]:
        label = self.outputs.table.stem
        if self.split is None:
            return [f"Scans of `{label}` were preprocessed alone: no model saw them."]
        shares = {NAMES.get(role, role): getattr(self.split, role) for role in type(self.split).model_fields}
        roles = [f"{100 * share:g} % {role}" for role, share in shares.items() if share]
        if len(roles) == 1:
            (role,) = (role for role, share in shares.items() if share)
            return [f"All subjects of `{label}` were used for {role}."]
        how = f"by site, sex and age third where these are known, by a hash of their labels (seed {self.seed})"
        drawn = f"before the quality of their scans was judged: {listed(roles)}."
        return [f"Subjects of `{label}` were drawn, stratified {how}, {drawn}"]


JOB = SplitJob
