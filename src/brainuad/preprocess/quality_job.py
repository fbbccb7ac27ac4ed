"""quality: the verdict on each scan of a data set, as a table and as contact sheets."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.recipe import Quality
from brainuad.jobs.base import Job, Paths


class QualityInputs(Paths):
    table: Path
    marks: list[Path]


class QualityOutputs(Paths):
    folder: Path


class QualityJob(Job):
    """Judges the scans of a data set by the recipe's limits."""

    rule = "quality"
    untracked: ClassVar[frozenset[str]] = frozenset({"preprocessed"})
    inputs: QualityInputs
    outputs: QualityOutputs
    limits: Quality
    exclude: list[str]
    """Subjects that the study leaves out."""
    preprocessed: Path
    """Folder of the data set's preprocessed scans."""

    def run(self) -> None:
        from brainuad.formats import batch
        from brainuad.preprocess.summary import summarise_quality

        folders = {scan: self.preprocessed / scan for scan in batch.read(self.inputs.marks)}
        summarise_quality(self.inputs.table, folders, self.limits, self.outputs.folder)


JOB = QualityJob
