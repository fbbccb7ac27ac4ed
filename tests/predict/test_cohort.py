"""A model on many scans as a workflow: parts, markers, scans that failed, and what makes a part again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from model_files import toy_model

from brainuad.errors import BrainuadError, ConfigError
from brainuad.predict import cohort, command

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path) -> dict[str, object]:
    (tmp_path / "in").mkdir()
    for name in ("a.nii", "mine.brainuad"):
        (tmp_path / "in" / name).write_text(name)
    return {"model": str(tmp_path / "in/mine.brainuad"), "input": str(tmp_path / "in"), "output": str(tmp_path / "out")}


def test_keys_are_options_of_predict(config):
    made = cohort.cohort_of({**config, "parts": 3, "threshold": "fixed:2", "stripped": True, "threads": 2})
    asked = made.request
    assert (asked.threshold, asked.stripped, asked.threads, asked.num_parts) == ("fixed:2", True, 2, 3)
    assert (asked.goes_on, cohort.cohort_of({**config, "overwrite": True}).request.goes_on) == (True, False)
    assert len(made.markers()) == 3


def test_files_of_a_session_are_a_list_and_each_makes_its_part_again(config, tmp_path):
    files = [tmp_path / "in" / name for name in ("a.nii", "mine.brainuad")]
    made = [cohort.cohort_of({**config, "input": [str(file) for file in files]}) for _ in range(2)]
    assert made[0].request.input == files
    before = made[1].stamp()
    files[1].write_text("another")
    assert made[0].stamp() != before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"input": None}, "input"),
        ({"colour": "red"}, "colour"),
        ({"threads": "many"}, "threads"),
        ({"device": "tpu"}, "tpu"),
        ({"parts": 0}, "parts"),
        ({"model": "nowhere.brainuad"}, "model file"),
        ({"input": []}, "no scan"),
    ],
    ids=str,
)
def test_wrong_keys_are_refused_in_a_sentence(config, change, told):
    given = {name: value for name, value in {**config, **change}.items() if value is not None}
    with pytest.raises(ConfigError) as refused:
        cohort.cohort_of(given)
    assert told in str(refused.value)


def test_a_part_is_made_again_for_other_files_and_options(config, tmp_path):
    before = cohort.cohort_of(config).stamp()
    assert cohort.cohort_of(config).stamp() == before
    assert cohort.cohort_of({**config, "space": "mni"}).stamp() != before
    inside = {**config, "output": str(tmp_path / "in/derivatives/out")}
    made = cohort.cohort_of(inside).stamp()
    Path(inside["output"]).mkdir(parents=True)
    (Path(inside["output"]) / "map.nii.gz").touch()
    assert cohort.cohort_of(inside).stamp() == made, "results are no input"
    (tmp_path / "in/b.nii").touch()
    assert cohort.cohort_of(config).stamp() != before


def test_failed_scans_end_in_an_error_after_the_table_and_are_tried_again(config, monkeypatch):
    made, calls = cohort.cohort_of({**config, "parts": 2}), []
    monkeypatch.setattr(command, "predict_all", lambda request: ["sub-bad"] if request.part_id else [])
    monkeypatch.setattr(command, "summarise", calls.append)
    for part in range(2):
        cohort.run_part(made, part)
    with pytest.raises(BrainuadError, match="1 scans failed") as failed:
        cohort.finish(made, made.markers())
    assert "sub-bad" in str(failed.value)
    assert calls[0].num_parts == 1  # contact sheets too
    assert [Path(marker).exists() for marker in made.markers()] == [True, False]
    monkeypatch.setattr(command, "predict_all", lambda _: [])
    cohort.run_part(made, 1)
    cohort.finish(made, made.markers())


def snakemake(config: dict[str, object], folder: Path, *more: str, **environment: str) -> subprocess.CompletedProcess:
    keys = [f"{name}={value}" for name, value in {**config, "parts": 2}.items()]
    snakefile = ["--snakefile", str(REPOSITORY / "workflow/predict.smk"), "--directory", str(folder)]
    words = [sys.executable, "-m", "snakemake", *snakefile, "--cores", "1", *more, "--config", *keys]
    return subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, env={**os.environ, **environment})


def test_the_workflow_lists_its_parts(config, tmp_path):
    done = snakemake(config, tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rule part:") == 2


def test_a_lock_of_a_run_that_was_killed_is_explained(config, tmp_path):
    locks = tmp_path / ".snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text(cohort.cohort_of({**config, "parts": 2}).marker(0) + "\n")
    done = snakemake(config, tmp_path)
    assert done.returncode == 1
    assert "locked by a run that was killed" in done.stderr + done.stdout
    assert "--unlock" in done.stderr + done.stdout


def test_scans_that_fail_are_told_once_whatever_the_retries(config, tmp_path):
    (tmp_path / "toy").mkdir()
    given = {**config, "model": str(toy_model(tmp_path / "toy"))}
    done = snakemake(given, tmp_path, "--retries", "2", "--latency-wait", "1")
    told = done.stderr + done.stdout
    assert done.returncode == 1
    assert told.count("1 scans failed") == 1
    assert "Missing files" not in told


def test_on_slurm_a_run_is_checked_before_its_first_job(config, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "which"):  # Snakemake's own needs, and no Slurm
        (programs / name).symlink_to(shutil.which(name) or "")
    done = snakemake(config, tmp_path, "--executor", "brainuad-slurm", "--jobs", "1", PATH=str(programs))
    assert done.returncode == 1
    assert "Slurm was not found" in done.stderr + done.stdout
