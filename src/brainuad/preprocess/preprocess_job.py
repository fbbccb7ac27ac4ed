"""preprocess: scans as they came, to the template's grid, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from brainuad.config import templates
from brainuad.config.recipe import Preprocess
from brainuad.config.steps import step_module
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

    def code_roots(self) -> list[str]:
        return [step_module(step["step"]) for step in self.recipe["steps"]]

    def describe(self) -> list[str]:
        recipe = Preprocess.model_validate(self.recipe)
        template = templates.title(recipe.template) + (" [@fonov2011]" if recipe.template == templates.BUNDLED else "")
        how = f"by the method `{recipe.registration.backend}`"
        if recipe.registration.backend == "nmi_search":
            how = "by maximising normalised mutual information [@studholme1999]"
        return [
            f"Scans were registered affinely to {template} at {recipe.spacing:g} mm {how}.",
            f"Brains were extracted by the method `{recipe.skullstrip.backend}`; everything outside was set to 0.",
            *(step.describe() for step in recipe.steps),
        ]


JOB = PreprocessJob
