"""scaling: what intensity scaling learns from the training scans."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.recipe import Intensity
from brainuad.config.told import listed
from brainuad.jobs.base import Job, Paths

ENDS = "percentiles {0.percentiles[0]:g} and {0.percentiles[1]:g} of the brain"
LEARNT = "of the training scans, and of no others"
SCALINGS = {
    "percentile": f"scaled scan by scan, so that {ENDS} became 0 and 1",
    "zscore": "scaled scan by scan to mean 0 and standard deviation 1 in the brain",
    "nyul": f"mapped piecewise linearly to the mean histogram landmarks {LEARNT} [@nyul2000]: {ENDS} and the deciles "
    "between them",
    "histogram": f"matched to the mean histogram {LEARNT}, between {ENDS}",
    "window": "scaled so that {0.window[0]:g} and {0.window[1]:g} HU became 0 and 1",
    "white": "scaled scan by scan, so that the peak of white matter in the histogram became {0.white:g}",
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
    sequences: list[str] = []
    """Of each session; none where a scan is one sequence."""

    def run(self) -> None:
        from brainuad.normalize.scaling import fit_scaling
        from brainuad.normalize.source import Source

        pairs = zip(self.inputs.tables, self.preprocessed, strict=True)
        sources = [Source(*pair, self.sequences) for pair in pairs]
        fit_scaling(sources, self.intensity, self.outputs.scaling)

    def describe(self) -> list[str]:
        intensity = self.intensity
        sentences = [f"Intensities were {SCALINGS[intensity.method].format(intensity)}."]
        if intensity.bias_fit == "linear":
            trend = "by least squares without outliers to the mean of the scaled training scans, and of no others"
            sentences.append(f"Each scan was divided by a linear trend of its bias field, fitted {trend}.")
        if intensity.clip is not None:
            sentences.append(f"Scaled values were clipped to {intensity.clip[0]:g} to {intensity.clip[1]:g}.")
        if self.sequences:
            sentences.append(f"Each sequence ({listed(self.sequences)}) was scaled by itself.")
        return sentences


JOB = ScalingJob
