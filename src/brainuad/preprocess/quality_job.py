"""quality: the verdict on each scan of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.recipe import Quality
from brainuad.config.study import Missing
from brainuad.jobs.base import Job, Paths


class QualityInputs(Paths):
    table: Path
    done: list[Path]


class QualityOutputs(Paths):
    table: Path


class QualityJob(Job):
    """Compares the quality numbers of a data set's scans with the recipe's limits."""

    rule = "quality"
    untracked: ClassVar[frozenset[str]] = frozenset({"preprocessed"})
    inputs: QualityInputs
    outputs: QualityOutputs
    limits: Quality
    exclude: list[str]
    """Subjects that the study leaves out."""
    preprocessed: Path
    """Folder of the data set's preprocessed scans."""
    missing: Missing = "leave_out_scan"
    """What becomes of a session without one of the study's sequences."""

    def run(self) -> None:
        from brainuad.formats import done_file
        from brainuad.preprocess.quality.table import write_quality_table

        folders = {scan: self.preprocessed / scan for scan in done_file.read(self.inputs.done)}
        write_quality_table(self.inputs.table, folders, self.limits, self.outputs.table, self.missing)

    def describe(self) -> list[str]:
        from brainuad.preprocess.in_words import quality_limits

        return quality_limits(self.limits)


JOB = QualityJob
