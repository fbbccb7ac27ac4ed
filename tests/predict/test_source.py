"""Where `brainuad predict -m` finds a model: a file, or a model in the results of a study."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from model_files import manifest

from brainuad.errors import InputError
from brainuad.formats import bundle, model_file
from brainuad.predict import export as exporting
from brainuad.predict import source

MODELS = {"atlas": {"family": "zscore_atlas"}}


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """The results of a study, of which `export` writes a file of two arrays."""

    def export(file: Path, folder: Path, wanted: exporting.Wanted, out: Path) -> None:
        assert (file.name, folder.name) == ("study.yaml", "mine")
        about = {"model": MODELS["atlas"], "trained_as": "atlas/seed-0"}
        bundle.write(tmp_path / "parts/models/atlas/seed-0", bundle.Bundle({"mean": np.zeros((2, 3))}, about))
        model_file.write(out, manifest(MODELS, label=wanted.model, name=out.stem), tmp_path / "parts")

    monkeypatch.setattr(exporting, "export", export)
    (tmp_path / "results/mine").mkdir(parents=True)
    (tmp_path / "study.yaml").touch()
    (tmp_path / "results/mine/sources.json").write_text(json.dumps({"file": str(tmp_path / "study.yaml")}))
    return tmp_path / "results/mine"


def test_a_model_of_a_study_is_exported_and_leaves_no_file(study, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    once, again = source.read(study / "atlas"), source.read(study / "atlas")
    assert (once.manifest.label, once.manifest.name) == ("atlas", "atlas")
    assert once.sha256 == again.sha256  # `--continue` goes by it
    assert list(tmp_path.rglob("*.brainuad")) == []
    assert set(before) <= set(tmp_path.rglob("*"))


def test_a_file_is_read_wherever_it_lies(study, tmp_path):
    file = study / "mine.brainuad"
    exporting.export(tmp_path / "study.yaml", study, exporting.Wanted("atlas"), file)
    assert source.read(file).manifest.name == "mine"


@pytest.mark.parametrize(("name", "told"), [("mine", "MODEL"), ("mine/atlas", "--study")])
def test_a_study_without_a_model_or_a_study_file_says_what_to_name(study, tmp_path, name, told):
    if "/" in name:
        (tmp_path / "study.yaml").unlink()
    with pytest.raises(InputError) as refused:
        source.read(study.parent / name)
    assert told in str(refused.value.do)


@pytest.mark.parametrize("content", [b"a scan", b"PK\5\6" + bytes(18)], ids=["text", "another zip"])
def test_an_export_replaces_no_file_of_another_kind(tmp_path, content):
    out = tmp_path / "sub-01_T1w.nii.gz"
    out.write_bytes(content)
    with pytest.raises(InputError, match="would be replaced"):
        exporting.export(tmp_path / "study.yaml", tmp_path, exporting.Wanted("zscore_atlas"), out)
    assert out.read_bytes() == content


def test_an_export_replaces_a_model_file(tmp_path):
    out = tmp_path / "mine.brainuad"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(model_file.MANIFEST, "{}")
    model_file.require_replaceable(out)
