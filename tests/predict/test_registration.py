"""The models of a finished study as registered models: at the end of a run, and by the command."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from brainuad.config.load import build_study
from brainuad.errors import InputError
from brainuad.plan import Plan
from brainuad.predict import export, mlflow_models, registration
from brainuad.track.experiment import Destination, ImportFailedError

DEMO = Path(__file__).parents[2] / "config.yaml"
WHOLE = SimpleNamespace(dag=SimpleNamespace(jobs=[SimpleNamespace(rule=SimpleNamespace(name="track"))]))
PART = SimpleNamespace(dag=SimpleNamespace(jobs=[SimpleNamespace(rule=SimpleNamespace(name="train"))]))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were registered; `zscore_atlas` was before, and `baur_dae_small` cannot be exported."""
    names: list[str] = []

    def write(study: Any, folder: Path, wanted: export.Wanted, out: Path) -> None:
        if wanted.model == "baur_dae_small":
            raise InputError("baur_dae_small was trained by another version", do="run the study again")
        out.write_text(f"{study.study}.{wanted.model}")

    def register(file: Path, to: Destination) -> str:
        assert to.folder.name == "mlflow"
        names.append(file.read_text())
        return f"models:/{names[-1]}/1"

    monkeypatch.setattr(export, "export_study", write)
    monkeypatch.setattr(mlflow_models, "registered", lambda *_: {"zscore_atlas": "models:/demo.zscore_atlas/3"})
    monkeypatch.setattr(mlflow_models, "register", register)
    return names


def plan(tmp_path: Path, **track: Any) -> Plan:
    study = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    return Plan(build_study(study | {"results": str(tmp_path / "results"), "track": track}, DEMO))


def test_the_end_of_a_study_registers_what_is_not_registered_yet(made, tmp_path, capsys):
    registration.after_success(plan(tmp_path, register=True), WHOLE)
    assert made == ["demo.baur_dvae_small"]
    said = capsys.readouterr().err.splitlines()
    assert sum("models:/demo.baur_dvae_small/1" in line for line in said) == 1
    (warning,) = [line for line in said if line.startswith("warning")]
    assert "baur_dae_small" in warning
    assert "run the study again" in warning


@pytest.mark.parametrize(("asked", "run"), [(False, WHOLE), (True, PART)])
def test_nothing_is_registered_that_nobody_asked_for(made, tmp_path, capsys, asked, run):
    registration.after_success(plan(tmp_path, register=asked), run)
    assert made == []
    assert capsys.readouterr().err == ""


def test_a_server_that_is_away_is_one_sentence(made, tmp_path, capsys, monkeypatch):
    def away(*_: object) -> None:
        raise ImportFailedError("demo was not imported", why="the server is away")

    monkeypatch.setattr(mlflow_models, "register", away)
    registration.after_success(plan(tmp_path, register=True), WHOLE)
    (said,) = capsys.readouterr().err.splitlines()
    assert "the server is away" in said
    assert said.startswith("warning")
