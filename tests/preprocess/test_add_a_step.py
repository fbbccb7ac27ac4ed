"""A preprocessing step is added by one file: it is then valid in a recipe, runs, is described, and is hashed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import brainuad

STEP = '''
"""Division by the maximum."""

from typing import Literal

from pydantic import Field

from brainuad.config.steps import Step


class DivideByMaximumStep(Step):
    """The scan is divided by the maximum of its brain."""

    step: Literal["divide_by_maximum"] = "divide_by_maximum"
    factor: float = Field(1.0, gt=0)
    """What the maximum becomes."""

    def apply(self, data, brain, spacing):
        return self.factor * data / data[brain].max()

    def describe(self) -> str:
        return f"Scans were divided by their maximum and multiplied by {self.factor:g} [@nobody2026]."
'''
USE = """
import numpy as np
from pydantic import ValidationError

from brainuad.config.recipe import Recipe
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.template import mni152
from brainuad.preprocess.pipeline import apply_steps
from brainuad.preprocess.preprocess_job import PreprocessJob
from brainuad.preprocess.registered_scan import resample_to_template
from brainuad.preprocess.settings import ScanSettings

template = mni152(4.0)
scan = Volume(np.where(template.brain, 50 + template.t1, 0).astype(np.float32), template.affine)


def preprocessed(*steps):
    registered = resample_to_template(scan, Affine(np.eye(4)), template, "T1w")
    recipe = Recipe.model_validate({"preprocess": {"steps": steps}})
    return apply_steps(registered, template.brain, recipe.preprocess.steps)


divided = preprocessed({"step": "divide_by_maximum", "factor": 3})
assert np.isclose(divided.max(), 3)
assert not np.allclose(
    preprocessed({"step": "divide_by_maximum"}, {"step": "curvature_flow", "time_step": 1e-3}),
    preprocessed({"step": "curvature_flow", "time_step": 1e-3}),
)

recipe = Recipe.model_validate({"preprocess": {"steps": [{"step": "divide_by_maximum"}]}}).preprocess
settings = ScanSettings(modality="T1w", healthy=True, recipe=recipe.model_dump(mode="json", exclude={"quality"}))
job = PreprocessJob.model_construct(settings=settings)
assert "Scans were divided by their maximum and multiplied by 1 [@nobody2026]." in job.describe()
assert job.code_roots() == ["brainuad.preprocess.steps.divide_by_maximum"]

for wrong in ({"step": "divide_by_maximum", "factor": 0}, {"step": "divide"}):
    try:
        Recipe.model_validate({"preprocess": {"steps": [wrong]}})
    except ValidationError as error:
        print(error.errors()[0]["msg"])
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, with one more step."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(brainuad.__file__).parent, tmp_path / "brainuad", ignore=ignored)
    (tmp_path / "brainuad/preprocess/steps/divide_by_maximum.py").write_text(STEP, encoding="utf-8")
    return tmp_path


def test_a_step_is_one_file(package):
    environment = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    messages = done.stdout.splitlines()
    assert messages[0] == "Input should be greater than 0"
    assert "'curvature_flow', 'divide_by_maximum', 'n4', 'window'" in messages[1]
