"""postprocess: thresholds from validation scans, and the predicted masks of a data set's test scans."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.postprocessing import Postprocessing, Threshold
from brainuad.config.told import with_settings
from brainuad.jobs.base import Job, Paths


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
        rules = [f"`{rule.label}` is {with_settings(rule, 'rule')}" for rule in self.thresholds]
        operators = [with_settings(each, "op") for each in self.postprocessing.operators]
        source = f" [@{self.postprocessing.cite}]" if self.postprocessing.cite else ""
        steps = f"in this order, the map operators before the threshold: {'; '.join(operators)}"
        return [
            f"Maps became predicted masks by thresholds: {'; '.join(rules)}.",
            "No threshold but the oracle's was chosen on test labels.",
            f"Postprocessing `{self.label}`{source}: {steps if operators else 'the threshold alone'}.",
        ]


JOB = PostprocessJob
