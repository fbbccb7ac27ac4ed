"""summarise: the tables of the study, and the comparison of its models."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.errors import InputError
from brainuad.formats.missing import Missing
from brainuad.jobs.base import Job, Paths


class SummariseInputs(Paths):
    subjects: Path
    """The table of all scans, which is not made if one is in two roles: then there are no results."""
    folders: list[Path]


class SummariseOutputs(Paths):
    metrics: Path
    scans: Path
    lesions: Path
    curves: Path
    comparisons: Path


class SummariseJob(Job):
    """Joins the tables of all models, seeds and data sets."""

    rule = "summarise"
    untracked: ClassVar[frozenset[str]] = frozenset({"missing"})
    inputs: SummariseInputs
    outputs: SummariseOutputs
    seeds: int
    """Trainings of each model."""
    baselines: list[str]
    """Labels of the trivial baselines, the references of all other models."""
    missing: list[Missing] = []
    """What the tables will lack, where some evaluations are not there."""

    def run(self) -> None:
        from brainuad.evaluate.evaluation import summarise
        from brainuad.formats import missing

        if not (table := self.inputs.subjects).exists():
            why = "it is not made where a scan is in two roles, such as training and test"
            do = f"read {table.parent / 'logs/normalize/subjects.log'}; if it is not there, run the study first"
            raise InputError("there are no results without the table of subjects", file=table, why=why, do=do)
        missing.write(self.outputs.metrics.parent, self.missing)
        summarise(self.inputs.folders, self.baselines, self.outputs.metrics.parent)

    def describe(self) -> list[str]:
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        over_seeds = "; of means over seeds they also hold the t interval of the seeds' mean" if self.seeds > 1 else ""
        return [
            f"Each model that learns was trained with {seeds}, on healthy scans only. Intervals are 95 % t intervals "
            "over patients, of shares on the logit and of other amounts on the log scale, with jackknife errors"
            f"{over_seeds}. Every two models were compared by their AUPRC of each patient, in a permutation test "
            "by sign flips in which the variance between seeds counts, corrected for all pairs, data sets and "
            "postprocessings by step-down min-P [@romano2005]. Differences are called decided at a corrected p under "
            "0.05 and ten patients or more."
        ]


JOB = SummariseJob
