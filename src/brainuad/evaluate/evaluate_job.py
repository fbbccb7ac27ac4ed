"""evaluate: metrics of one model, seed and data set, for every postprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.evaluate import Evaluate
from brainuad.config.postprocessing import Threshold, ThresholdRole
from brainuad.config.reading import Reading
from brainuad.jobs.base import Job, Paths

OWN_GRID = (
    "Each scan was scored on its own grid: lesion masks were taken as they were drawn; anomaly maps, predicted masks "
    "and the scored brain were resampled to it from the template's grid, on which thresholds were found.",
)
"""Said of studies that score scans there."""


class EvaluateInputs(Paths):
    maps: Path
    """Folder of infer."""
    masks: list[Path]
    """Folder of each postprocessing, named by its label."""
    array_cache: Path
    control_maps: list[Path]
    control_array_caches: list[Path]
    """Of the healthy data sets whose test scans abnormal scans are compared with; same model and seed."""
    calibration_maps: list[Path] = []
    calibration_array_caches: list[Path] = []
    """Of the healthy data sets whose scans set the threshold of scores; same model and seed."""

    def postprocessed(self) -> dict[str, Path]:
        """The folder of each postprocessing by its label."""
        return {folder.name: folder for folder in self.masks}

    def controls(self) -> list[tuple[Path, Path]]:
        """Infer's folder and the array cache of each data set of controls."""
        return list(zip(self.control_maps, self.control_array_caches, strict=True))

    def calibration(self) -> list[tuple[Path, Path]]:
        """The same of each data set that sets the threshold of scores."""
        return list(zip(self.calibration_maps, self.calibration_array_caches, strict=True))


class EvaluateOutputs(Paths):
    folder: Path


class EvaluateJob(Job):
    """Scores the maps and masks of a data set's test scans."""

    rule = "evaluate"
    untracked: ClassVar[frozenset[str]] = frozenset({"preprocessed"})
    inputs: EvaluateInputs
    outputs: EvaluateOutputs
    evaluate: Evaluate
    thresholds: list[Threshold]
    locating: list[str]
    """Postprocessings that leave one component, in which the peak of the map is sought."""
    calibration_role: ThresholdRole
    """Role of the healthy scans that set the threshold of scores."""
    preprocessed: Path | None = None
    """Folder of the data set's preprocessed scans; none where scans are scored on the template's grid."""
    reading: Reading | None = None
    """How the files of its scans are read; likewise."""
    sequence: str = ""
    """Of a session with several: the one that the model reconstructs."""

    def run(self) -> None:
        from brainuad.evaluate.evaluation import evaluate
        from brainuad.evaluate.scored import Scoring
        from brainuad.evaluate.scoring_grid import OwnScans

        own = OwnScans(self.preprocessed, self.reading) if self.preprocessed and self.reading else None
        scoring = Scoring(self.evaluate, self.thresholds, self.locating, self.calibration_role, own, self.sequence)
        evaluate(self.inputs, scoring, self.outputs.folder, self.tags)

    def describe(self) -> list[str]:
        rim = self.evaluate.erode_voxels
        eroded = f", eroded by {rim} {'voxel' if rim == 1 else 'voxels'}" if rim else ""
        matching, ml = self.evaluate.matching, "ml of the scan's own space"
        fit = {
            "iou": f"their intersection over union exceeded {matching.iou:g}",
            "centroid": "the component's centre of mass lay in the lesion",
            "any": "they shared a voxel",
        }[matching.rule]
        return [
            f"Scores were computed in the brain mask{eroded}; lesion voxels outside count as missed.",
            f"Predicted components and lesions were paired one to one where {fit}; lesions under "
            f"{self.evaluate.min_lesion_ml:g} {ml} and false components under {self.evaluate.min_component_ml:g} ml "
            f"did not count. Surfaces agree within {self.evaluate.surface_tolerance_mm:g} mm.",
            *(OWN_GRID if self.evaluate.space == "native" else ()),
            "Whole scans were called abnormal above a split-conformal threshold of their score, set on healthy scans "
            f"for a specificity of {self.evaluate.scan_threshold_quantile:g}, or of what their number allows "
            "[@bates2023]; intervals of sensitivity and specificity are exact binomial ones [@clopper1934].",
        ]


JOB = EvaluateJob
