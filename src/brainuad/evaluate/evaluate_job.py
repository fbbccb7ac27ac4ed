"""evaluate: metrics of one model, seed and data set, for every postprocessing."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.evaluate import Evaluate
from brainuad.config.postprocessing import Threshold
from brainuad.jobs.base import Job, Paths


class EvaluateInputs(Paths):
    maps: Path
    """Folder of infer."""
    masks: list[Path]
    """Folder of each postprocessing, named by its label."""
    array_cache: Path
    healthy_maps: list[Path]
    healthy_array_caches: list[Path]
    """Of the healthy data sets that abnormal scans are compared with at the scan level; same model and seed."""

    def postprocessed(self) -> dict[str, Path]:
        """The folder of each postprocessing by its label."""
        return {folder.name: folder for folder in self.masks}

    def healthy(self) -> list[tuple[Path, Path]]:
        """Infer's folder and the array cache of each healthy data set."""
        return list(zip(self.healthy_maps, self.healthy_array_caches, strict=True))


class EvaluateOutputs(Paths):
    folder: Path


class EvaluateJob(Job):
    """Scores the maps and masks of a data set's test scans."""

    rule = "evaluate"
    inputs: EvaluateInputs
    outputs: EvaluateOutputs
    evaluate: Evaluate
    thresholds: list[Threshold]
    locating: list[str]
    """Postprocessings that leave one component, in which the peak of the map is sought."""

    def run(self) -> None:
        from brainuad.evaluate.evaluation import evaluate

        evaluate(self.inputs, self.evaluate, self.thresholds, self.locating, self.outputs.folder, self.tags)

    def describe(self) -> list[str]:
        rim = self.evaluate.erode_voxels
        eroded = f", eroded by {rim} {'voxel' if rim == 1 else 'voxels'}" if rim else ""
        return [f"Scores were computed in the brain mask{eroded}."]


JOB = EvaluateJob
