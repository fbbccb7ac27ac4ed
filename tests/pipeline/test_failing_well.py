"""What a user sees when something is wrong: one bad scan, a whole bad set, a mistyped key, a server that is away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from workspace import REPOSITORY

from brainuad.formats import scans


@pytest.fixture
def folder_study(finished, make_workspace):
    """Eight heads in a folder of their own, and a study on them that needs no network."""
    own = make_workspace()
    for subject in sorted((finished.results / "download/healthy").glob("sub-*")):
        shutil.copytree(subject, own.folder / "heads" / subject.name)
    heads = {"source": "folder", "root": str(own.folder / "heads"), "healthy": True}
    heads["split"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    study = own.study(
        datasets={"heads": heads}, models={"zscore_atlas": None}, seeds=[0], postprocessing={"none": "none"}
    )
    return own, study


def corrupt_scan(own, *subjects):
    for subject in subjects:
        (path,) = (own.folder / "heads" / subject / "anat").glob("*_T1w.nii.gz")
        path.write_bytes(path.read_bytes()[:20_000])


def test_one_bad_scan_stops_no_study(folder_study):
    own, study = folder_study
    corrupt_scan(own, "sub-003")
    (own.folder / "heads/sub-999/anat").mkdir(parents=True)
    study["track"] = {"uri": "http://127.0.0.1:9"}  # nobody answers there
    done = own.snakemake(study)
    assert done.returncode == 0, done.stderr[-3000:]
    failures = pd.read_csv(own.results / "test/failures.tsv", sep="\t")
    assert list(failures["scan"]) == ["sub-003", "sub-999"]
    assert "sub-003_T1w.nii.gz is broken" in failures["reason"][0]
    assert failures["remedy"][0] == "copy it again"
    assert failures["reason"][1] == "no *_T1w.nii.gz in anat/"
    assert (own.results / "test/evaluate/metrics.tsv").exists()
    assert "sub-003" in (own.results / "test/report/index.html").read_text()
    # the server was away: a warning, and the next run tries again, that alone
    assert "127.0.0.1:9" in done.stderr
    assert own.would_run(study) == {"track": 1}
    del study["track"]
    assert own.snakemake(study).returncode == 0
    assert own.would_run(study) == {}
    # another head: it alone is preprocessed
    shutil.copytree(own.folder / "heads/sub-001", own.folder / "heads/sub-100")
    (image,) = (own.folder / "heads/sub-100/anat").glob("*_T1w.nii.gz")
    image.rename(image.with_name("sub-100_T1w.nii.gz"))
    assert own.would_run(study)["preprocess"] == 1


def test_a_study_without_a_usable_training_scan_is_refused(folder_study):
    own, study = folder_study
    first = own.snakemake(study, "--", "results/test/normalize/heads.tsv")
    assert first.returncode == 0, first.stderr[-3000:]
    train = [row.subject for row in scans.read(own.results / "test/normalize/heads.tsv") if row.role == "train"]
    corrupt_scan(own, *train)
    done = own.snakemake(study)
    assert done.returncode != 0
    assert "no healthy training subject is left" in done.stdout + done.stderr
    assert not (own.results / "test/train").exists()


def test_a_mistyped_key_is_answered_at_once_and_in_full(finished):
    done = finished.snakemake(finished.study(evaluate={"bootstrap_resample": 5}), "--dry-run", "--nolock", name="typo")
    assert done.returncode == 1
    assert "error: unknown key evaluate.bootstrap_resample" in done.stderr
    assert "did you mean bootstrap_resamples?" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_folder_is_named(folder_study):
    own, study = folder_study
    study["datasets"]["heads"]["root"] = str(own.folder / "nowhere")
    done = own.snakemake(study, "--dry-run")
    assert done.returncode == 1
    assert "error: cannot read the folder of heads" in done.stderr


def test_the_bare_slurm_profile_resolves():
    command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--dry-run", "--nolock", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]


def test_snakemakes_own_report_can_be_made(finished):
    page = finished.folder / "snakemake.html"
    done = finished.snakemake(finished.study(), "--report", str(page))
    assert done.returncode == 0, done.stderr[-3000:]
    assert 10_000 < page.stat().st_size < 15e6
