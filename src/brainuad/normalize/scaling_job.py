"""scaling: what intensity scaling learns from the training scans."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.recipe import Intensity
from brainuad.jobs.base import Job, Paths

SCALINGS = {
    "percentile": "scaled so that two percentiles of the brain become 0 and 1",
    "zscore": "scaled to mean 0 and standard deviation 1 in the brain",
    "nyul": "mapped to landmarks of the training subjects",
    "histogram": "matched to the mean histogram of the training subjects",
    "window": "cut to a fixed window",
    "white": "scaled by the peak of white matter",
}


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
        from brainuad.normalize.scaling import fit_scaling
        from brainuad.normalize.source import Source

        sources = [Source(*pair) for pair in zip(self.inputs.tables, self.preprocessed, strict=True)]
        fit_scaling(sources, self.intensity, self.outputs.scaling)

    def describe(self) -> list[str]:
        return [
            f"Intensities were {SCALINGS[self.intensity.method]}, fitted on training subjects alone where it learns."
        ]


JOB = ScalingJob
