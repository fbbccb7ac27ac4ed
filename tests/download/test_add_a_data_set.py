"""A known data set is added by one file: a study can then name it, and the catalogue, schema and messages list it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import brainuad

DATA_SET = '''
"""Toy brains: T1 scans named after their subjects."""

from __future__ import annotations

from brainuad.config.datasets import Known
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.sources.content import SourceContent
from brainuad.formats.scans import Scan


class ToyBrains(KnownSet):
    """Healthy subjects."""

    about = About(
        title="Toy brains",
        licence="CC0",
        access="form",
        page="https://toy.example/",
        how_to_get="Ask the authors.",
        layout="toy_<subject>.nii.gz",
        modalities=("T1w",),
    )

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """One scan per subject."""
        subjects = {f"sub-{path.name[4:-7]}": path for path in sorted(settings.folder.glob("toy_*.nii.gz"))}
        return SourceContent([Scan(name, name, label, image=str(path)) for name, path in subjects.items()])


SET = ToyBrains
'''
USE = """
import json
import sys
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.download import catalogue
from brainuad.errors import BrainuadError
from brainuad.formats import scans
from brainuad.plan import Plan
from brainuad.reference import schema

config, data = Path(sys.argv[1]), Path("data/toy_brains")


def plan(source="toy_brains"):
    controls = {"source": source, "healthy": True, "split": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    study = {"study": "toy", "datasets": {"controls": controls}, "recipe": "mri_2mm", "models": {"zscore_atlas": None}}
    return Plan(build_study(study, config))


def message(function, *given):
    try:
        function(*given)
    except BrainuadError as error:
        return str(error)


assert "Ask the authors." in message(plan)
data.mkdir(parents=True)
for name in "abcdefgh":
    (data / f"toy_{name}.nii.gz").touch()
job = plan().job("list_scans", dataset="controls")
assert job.code_roots() == ["brainuad.download.sets.toy_brains"]
job.run()
print([row.scan for row in scans.read(job.outputs.table)])
assert "did you mean toy_brains?" in message(plan, "toy_brain")
assert "toy_brains" in json.dumps(json.loads(schema())["$defs"]["Known"]["properties"]["source"])
row = "| `toy_brains` | [Toy brains](https://toy.example/) | T1w | user-provided | CC0 |"
assert row in catalogue.datasets_page("")
assert "Toy brains" in catalogue.description("toy_brains")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, with one more data set."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(brainuad.__file__).parent, tmp_path / "brainuad", ignore=ignored)
    (tmp_path / "brainuad/download/sets/toy_brains.py").write_text(DATA_SET, encoding="utf-8")
    return tmp_path


def test_a_data_set_is_one_file(package):
    config = Path(__file__).parents[2] / "config.yaml"
    run = subprocess.run(
        [sys.executable, "-c", USE, str(config)],
        env=os.environ | {"PYTHONPATH": str(package)},
        cwd=package,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str([f"sub-{name}" for name in "abcdefgh"])
