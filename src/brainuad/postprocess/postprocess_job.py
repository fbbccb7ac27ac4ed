"""postprocess: thresholds from validation or calibration scans, and the predicted masks of a data set's test scans."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.postprocessing import Postprocessing, Threshold
from brainuad.config.told import with_settings
from brainuad.jobs.base import Job, Paths

KINDS = {True: "healthy", False: "labelled"}
USE = {
    "calibration": "calibration scans, by which nothing else was chosen",
    "validation": "validation scans",
}


def used_for(kind: str, role: str) -> str:
    """Which scans set thresholds, and what else they chose, in the methods section."""
    also = ", by which the weights of networks may have been chosen as well"
    return USE[role] + (also if (kind, role) == ("healthy", "validation") else "")


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
    """Whether the subjects of each data set are healthy from which thresholds are drawn."""
    validation_roles: list[str]
    """Role of their scans that are used: validation or calibration."""
    erode_voxels: int
    """What evaluate removes of the brain's rim: thresholds are drawn from the voxels that are scored."""

    def run(self) -> None:
        from brainuad.postprocess.find_thresholds import Thresholding
        from brainuad.postprocess.postprocessing import postprocess

        found = Thresholding(self.thresholds, self.validation_healthy, self.validation_roles, self.erode_voxels)
        postprocess(self.inputs, found, self.postprocessing, self.outputs.masks, self.tags)

    def describe(self) -> list[str]:
        rules = [f"`{rule.label}` is {with_settings(rule, 'rule')}" for rule in self.thresholds]
        roles = dict(zip(map(KINDS.get, self.validation_healthy), self.validation_roles, strict=True))
        operators = [with_settings(each, "op") for each in self.postprocessing.operators]
        source = f" [@{self.postprocessing.cite}]" if self.postprocessing.cite else ""
        steps = f"in this order, the map operators before the threshold: {'; '.join(operators)}"
        return [
            f"Maps became predicted masks by thresholds: {'; '.join(rules)}.",
            *(
                f"The {kind} scans that set thresholds were {used_for(str(kind), role)}."
                for kind, role in roles.items()
            ),
            "No threshold but the oracle's was chosen on test labels.",
            f"Postprocessing `{self.label}`{source}: {steps if operators else 'the threshold alone'}.",
        ]


JOB = PostprocessJob
