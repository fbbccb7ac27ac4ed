"""preprocess: scans as they came, to the template's grid, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from brainuad.jobs.base import InputsByName, Job, Paths


class PreprocessOutputs(Paths):
    mark: Path
    """Names the scans that are done. Their folders are no outputs of the rule: Snakemake would delete them."""


class PreprocessJob(Job):
    """Preprocesses one scan, or a batch of scans; those that are there as they would come out are left alone."""

    rule = "preprocess"
    resumes: ClassVar[bool] = True
    inputs: InputsByName
    outputs: PreprocessOutputs
    about: dict[str, Any]
    """Of the data set: modality, whether its subjects are healthy, `register_with`."""
    recipe: dict[str, Any]
    """The recipe's `preprocess` section, without the limits of quality."""
    scans: list[str]

    def run(self) -> None:
        from brainuad.preprocess.batch import preprocess_scans

        settings = {"about": self.about, "recipe": self.recipe, "scans": self.scans}
        folder = self.outputs.mark.parents[1]
        preprocess_scans(settings, self.code, self.inputs.files, folder=folder, mark=self.outputs.mark)


JOB = PreprocessJob
