"""postprocess: thresholds from validation scans, and the predicted masks of a data set's test scans."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.postprocessing import Postprocessing, Threshold
from brainuad.jobs.base import Job, Paths

RULES = {
    "healthy_quantile": "a quantile of the brain voxels of healthy validation scans",
    "val_dice": "the best pooled Dice on labelled validation scans, which share no subject with the test",
    "fixed": "a constant from a paper",
}


class PostprocessInputs(Paths):
    maps: Path
    array_cache: Path
    validation_maps: list[Path]
    validation_array_caches: list[Path]


class PostprocessOutputs(Paths):
    masks: Path


class PostprocessJob(Job):
    """Turns anomaly maps into masks."""

    rule = "postprocess"
    untracked: ClassVar[frozenset[str]] = frozenset({"label"})
    inputs: PostprocessInputs
    outputs: PostprocessOutputs
    label: str
    """Of the postprocessing in the study."""
    postprocessing: Postprocessing
    thresholds: list[Threshold]
    validation_healthy: list[bool]
    """Whether the subjects of each validation set are healthy."""

    def run(self) -> None:
        from brainuad.postprocess.postprocessing import postprocess

        settings = self.validation_healthy, self.postprocessing, self.thresholds
        postprocess(self.inputs, *settings, self.outputs.masks, self.tags)

    def describe(self) -> list[str]:
        rules = "; ".join(f"`{rule.label}`: {RULES[rule.rule]}" for rule in self.thresholds)
        steps = ", ".join(operator.op for operator in self.postprocessing.operators) or "the threshold only"
        source = f" [@{self.postprocessing.cite}]" if self.postprocessing.cite else ""
        return [
            f"Anomaly maps were thresholded by these rules: {rules}. No threshold but the oracle's was chosen on test "
            "labels.",
            f"Postprocessing `{self.label}`: {steps}{source}.",
        ]


JOB = PostprocessJob
