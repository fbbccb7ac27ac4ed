"""evaluate: metrics of one model, seed and data set, for every postprocessing."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.postprocessing import Threshold
from brainuad.config.study import Evaluate
from brainuad.jobs.base import Job, Paths


class EvaluateInputs(Paths):
    maps: Path
    masks: list[Path]
    """Of each postprocessing."""
    array_cache: Path
    healthy_maps: list[Path]
    healthy_array_caches: list[Path]
    """Of the healthy data sets against which scans are told apart as a whole."""


class EvaluateOutputs(Paths):
    folder: Path


class EvaluateJob(Job):
    """Scores the maps and masks of a data set's test scans."""

    rule = "evaluate"
    inputs: EvaluateInputs
    outputs: EvaluateOutputs
    evaluate: Evaluate
    thresholds: list[Threshold]
    located: list[str]
    """Postprocessing that leaves one component, in which the peak of the map is sought."""

    def run(self) -> None:
        from brainuad.evaluate.job import evaluate

        healthy = zip(self.inputs.healthy_maps, self.inputs.healthy_array_caches, strict=True)
        evaluate(
            maps=self.inputs.maps,
            posts={folder.name: folder for folder in self.inputs.masks},
            array_cache=self.inputs.array_cache,
            healthy_scores=list(healthy),
            settings=self.evaluate,
            thresholds=self.thresholds,
            out=self.outputs.folder,
            tags=self.tags,
            located=self.located,
        )

    def describe(self) -> list[str]:
        rim = self.evaluate.erode_voxels
        return [f"Scores were taken inside the brain mask less {rim} {'voxel' if rim == 1 else 'voxels'} of rim."]


JOB = EvaluateJob
