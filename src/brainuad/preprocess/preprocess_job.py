"""preprocess: scans as they came, to the template's grid, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.config.steps import step_module
from brainuad.jobs.base import InputsByName, Job, Paths
from brainuad.preprocess.job_inputs import inputs_by_scan
from brainuad.preprocess.settings import ScanSettings


class PreprocessOutputs(Paths):
    done: Path
    """Names the scans that are done. Their folders are no outputs of the rule: Snakemake would delete them."""


class PreprocessJob(Job):
    """Preprocesses one scan, or a batch of scans; those that are there as they would come out are left alone."""

    rule = "preprocess"
    resumes: ClassVar[bool] = True
    inputs: InputsByName
    outputs: PreprocessOutputs
    settings: ScanSettings
    scans: list[str]

    def run(self) -> None:
        from brainuad.preprocess.scans import preprocess_scans

        inputs = inputs_by_scan(self.inputs.files, self.scans)
        preprocess_scans(inputs, self.settings, self.code, self.outputs.done)

    def describe(self) -> list[str]:
        from brainuad.preprocess.in_words import preprocessing

        return preprocessing(self.settings)

    def code_roots(self) -> list[str]:
        return [step_module(step["step"]) for step in self.settings.recipe["steps"]]


JOB = PreprocessJob
