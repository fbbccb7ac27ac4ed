"""scaling: what intensity scaling learns from the training scans."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.recipe import Intensity
from brainuad.jobs.base import Job, Paths


class ScalingInputs(Paths):
    tables: list[Path]


class ScalingOutputs(Paths):
    scaling: Path


class ScalingJob(Job):
    """Fits the intensity scaling on the study's training subjects."""

    rule = "scaling"
    untracked: ClassVar[frozenset[str]] = frozenset({"preprocessed"})
    inputs: ScalingInputs
    outputs: ScalingOutputs
    intensity: Intensity
    preprocessed: list[Path]
    """Folder of preprocessed scans of each table's data set."""

    def run(self) -> None:
        from brainuad.normalize.job import Source, fit_scaling

        sources = [Source(*pair) for pair in zip(self.inputs.tables, self.preprocessed, strict=True)]
        fit_scaling(sources, self.intensity, self.outputs.scaling)


JOB = ScalingJob
