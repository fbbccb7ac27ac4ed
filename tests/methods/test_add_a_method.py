"""Adding a method that learns and has no network takes one module and one file of settings, and no edit elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
MODULE = '''
"""A Gaussian per voxel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from brainuad.config.model import MethodSettings
from brainuad.config.section import Section
from brainuad.methods.base import Brain, Image, Method, Sign, TrainingScans, check_finite


class SurprisalMap(Section):
    """How the Gaussians become a map."""

    constant: bool = True
    """Whether the logarithm of the sd counts."""


class Settings(MethodSettings):
    """A Gaussian per voxel."""

    learns: ClassVar[bool] = True
    uses_gpu: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    trivial_baseline: ClassVar[bool] = False

    family: Literal["gaussian_voxel"]
    smallest_sd: float = Field(0.01, gt=0)
    """In units of intensity."""
    map: SurprisalMap = SurprisalMap()

    @classmethod
    def method_class(cls) -> type[Any]:
        return GaussianVoxel


class GaussianVoxel(Method):
    """Map: negative log density."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def fit(self, training: TrainingScans, held_out: TrainingScans | None = None) -> None:
        scans = np.stack([np.asarray(image) for image in training.images])
        self.mean, self.sd = scans.mean(0), np.maximum(scans.std(0), self.settings.smallest_sd)

    def anomaly_map(self, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Image:
        surprisal = 0.5 * ((image - self.mean) / self.sd) ** 2 + self.settings.map.constant * np.log(self.sd)
        return check_finite(np.where(brain, surprisal, 0), "gaussian_voxel")

    def state(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean, "sd": self.sd}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.mean, self.sd = state["mean"], state["sd"]
'''
FILE = "family: gaussian_voxel\nsmallest_sd: 0.02\n"
STUDY = """
study: added
lesion_sign: both
recipe: mri_2mm
datasets:
  healthy: {source: phantom, subjects: 8, healthy: true, split: {train: 0.5, validation: 0.25, test: 0.25}}
models:
  gaussian_voxel:
  thresh_histeq:
  baur_dae_small:
"""
PLANNED = """
import json, sys
from pathlib import Path
from brainuad.config.load import build_study, read_yaml
from brainuad.config.model import families
from brainuad.errors import ConfigError
from brainuad.plan import Plan

file = Path("config.yaml")
raw = read_yaml(file)
plan = Plan(build_study(raw, file))
jobs = {label: plan.job("train", model=label, seed="0") for label in plan.study.models}
said = {
    "families": families(),
    "smallest_sd": plan.study.models["gaussian_voxel"].smallest_sd,
    "gpus": {label: plan.gpus(label) for label in plan.study.models},
    "baselines": plan.study.baselines(),
    "trained": str(jobs["gaussian_voxel"].outputs.bundle),
    "job": jobs["gaussian_voxel"].model_dump(mode="json"),
    "code": {label: job.code for label, job in jobs.items()},
    "heavy": sorted({"torch", "scipy", "pandas", "lightning"} & set(sys.modules)),
}
raw["models"]["gaussian_voxel"] = {"use": "gaussian_voxel", "set": {"smalest_sd": 0.1}}
try:
    build_study(raw, file)
except ConfigError as error:
    said["mistake"] = str(error)
print(json.dumps(said))
"""
TRAINED = """
import json, sys
from pathlib import Path
import numpy as np
from brainuad import disk
from brainuad.config.load import load_study
from brainuad.config.study import Compute
from brainuad.formats import array_cache, bundle, names
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.scans import Scan
from brainuad.infer.inference import MapMaking, infer
from brainuad.methods import registry
from brainuad.papers.catalogue import rows
from brainuad.plan import Plan
from brainuad.train.train_job import TrainJob

rng, shape = np.random.default_rng(0), (6, 7, 5)
def entry(number, role):
    image = 0.5 + 0.1 * rng.standard_normal(shape).astype(np.float32)
    return Entry(Scan(f"sub-{number}", f"sub-{number}", "healthy", role=role), image, np.ones(shape, bool))
entries = [entry(i, role) for i, role in enumerate(["train"] * 4 + ["validation", "test"])]
entries[-1].image[3, 3, 2] += 2
cache = Path("healthy")
array_cache.write(cache, entries, CacheHeader(np.diag([2.0, 2, 2, 1]), {"scale": "percentile"}, {}))

job = TrainJob.model_validate(json.loads(sys.argv[1]))
inputs, outputs = job.inputs.model_copy(update={"array_caches": [cache]}), job.outputs
outputs.bundle.parent.mkdir(parents=True)
job.model_copy(update={"inputs": inputs}).run()

study = load_study("config.yaml")
settings = study.models["gaussian_voxel"]
folder = outputs.bundle.parent
infer(folder, cache, MapMaking(settings.map, "both"), Compute(threads=1, accelerator="gpu"), Path("maps"), {})
direct = registry.build(settings)
scans = array_cache.read(cache)
direct.fit(scans.select("train"))
again = registry.load_method(bundle.read(folder), settings.map)
last, brain = np.asarray(scans.images[-1]), np.ones(shape, bool)
first, second = (each.predict(last, brain, (2.0, 2.0, 2.0), "both") for each in (direct, again))
alone = study.model_copy(update={"models": {"gaussian_voxel": settings}})
both = study.model_copy(update={"models": {"gaussian_voxel": settings, "ae": study.models["baur_dae_small"]}})
print(json.dumps({
    "arrays": sorted(bundle.read(folder).arrays),
    "same": bool(np.array_equal(first[0], second[0])),
    "peak": [int(i) for i in np.unravel_index(first[0].argmax(), shape)],
    "reconstruction": first[1] is not None,
    "files": sorted(path.name for path in Path("maps").rglob("*.nii.gz")),
    "compared_with": Plan(study).job("summarise").baselines,
    "maps": disk.estimate(Plan(both)).results["anomaly maps"] / disk.estimate(Plan(alone)).results["anomaly maps"],
    "catalogue": [rows({"gaussian_voxel": settings})[0].input, rows({"gaussian_voxel": settings})[0].parameters],
}))
"""


def run(folder: Path, code: str, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "src/brainuad", folder / "src/brainuad", ignore=without)
    shutil.copytree(REPOSITORY / "config", folder / "config")
    (folder / "config.yaml").write_text(STUDY)
    (folder / "src/brainuad/methods/gaussian_voxel.py").write_text(MODULE)
    (folder / "config/models/gaussian_voxel.yaml").write_text(FILE)
    return folder


@pytest.fixture(scope="module")
def planned(copy: Path) -> dict[str, Any]:
    return run(copy, PLANNED)


def test_it_is_found_validated_and_planned(planned):
    assert "gaussian_voxel" in planned["families"]
    assert planned["smallest_sd"] == 0.02
    assert "unknown key models.gaussian_voxel.smalest_sd" in planned["mistake"]
    assert "did you mean smallest_sd?" in planned["mistake"]
    assert planned["gpus"] == {"gaussian_voxel": 0, "thresh_histeq": 0, "baur_dae_small": 1}
    assert planned["baselines"] == ["thresh_histeq"]
    assert planned["trained"].endswith("train/gaussian_voxel/seed-0/bundle.json")
    assert planned["heavy"] == [], "the Snakefile imports this"


def test_it_is_trained_and_maps_scans_on_a_cpu(copy, planned):
    found = run(copy, TRAINED, json.dumps(planned["job"]))
    assert {"mean", "sd"} <= set(found["arrays"])
    assert found["same"], "the bundle brings it back"
    assert found["peak"] == [3, 3, 2]
    assert not found["reconstruction"]
    assert len(found["files"]) == 2, "a map each of the validation and the test scan, and no reconstruction"
    assert found["compared_with"] == ["thresh_histeq"]
    assert round(found["maps"], 6) == 3, "its map, and map and reconstruction of a network beside it"
    assert found["catalogue"] == ["whole scan", "none"]


def test_an_edit_of_its_module_changes_no_other_code_hash(copy, planned):
    module = copy / "src/brainuad/methods/gaussian_voxel.py"
    module.write_text(MODULE.replace("0.5 * ((image", "0.7 * ((image"))
    after = run(copy, PLANNED)["code"]
    changed = {label for label, code in planned["code"].items() if code != after[label]}
    module.write_text(MODULE)
    assert changed == {"gaussian_voxel"}


def test_a_family_that_does_not_declare_its_properties_is_refused(copy):
    (copy / "src/brainuad/methods/silent.py").write_text(
        MODULE.replace("gaussian_voxel", "silent").replace("    uses_gpu: ClassVar[bool] = False\n", "")
    )
    code = "import json\nfrom brainuad.config.model import settings_class\ntry:\n    settings_class('silent')\n"
    code += "except TypeError as error:\n    print(json.dumps({'error': str(error)}))"
    assert run(copy, code)["error"] == "brainuad.methods.silent.Settings does not declare uses_gpu"
    (copy / "src/brainuad/methods/silent.py").unlink()
