"""What a user sees when something is wrong: one bad scan, a whole bad set, a mistyped key, a server that is away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from copy import deepcopy

import pandas as pd
import pytest
import yaml
from workspace import REPOSITORY

from brainuad.config.datasets import Phantoms, Split
from brainuad.config.study import Study
from brainuad.download.list_scans import list_scans
from brainuad.formats.scans import Scan
from brainuad.normalize.split import draw_split


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """The folder of the eight healthy heads of the shrunken study."""
    folder = tmp_path_factory.mktemp("healthy")
    settings = yaml.safe_load((REPOSITORY / "config/studies/test.yaml").read_text())["datasets"]["healthy"]
    list_scans("healthy", Phantoms(**settings), folder / "subjects.tsv")
    return folder


@pytest.fixture
def folder_study(healthy, make_workspace):
    """Eight heads in a folder of their own, and a study on them that needs no network."""
    own = make_workspace()
    for subject in sorted(healthy.glob("sub-*")):
        shutil.copytree(subject, own.folder / "heads" / subject.name)
    heads = {"source": "folder", "root": str(own.folder / "heads"), "healthy": True}
    heads["split"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    study = own.study(
        datasets={"heads": heads},
        models={"zscore_atlas": None},
        seeds=[0],
        postprocessing={"none": "none"},
        compute={"scans_per_job": 5},
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
    assert failures["remedy"][0].startswith("copy it again")
    assert failures["reason"][1] == "no *_T1w.nii.gz in anat/"
    assert (own.results / "test/evaluate/metrics.tsv").exists()
    assert "sub-003" in (own.results / "test/report/index.html").read_text()
    assert "2 of 9 scans were left out" in done.stderr
    # the server was away: a warning, and the next run tries again, that alone
    assert "127.0.0.1:9" in done.stderr
    assert own.would_run(study) == {"track": 1}
    del study["track"]
    one_failed_training_withholds_nothing(own, study)
    # another head: it alone is preprocessed
    shutil.copytree(own.folder / "heads/sub-001", own.folder / "heads/sub-100")
    (image,) = (own.folder / "heads/sub-100/anat").glob("*_T1w.nii.gz")
    image.rename(image.with_name("sub-100_T1w.nii.gz"))
    assert own.would_run(study)["preprocess_batch"] == 1


def one_failed_training_withholds_nothing(own, study):
    """A model is added to a finished study, and diverges; then it is taken out."""
    folder = own.results / "test"
    names = ("metrics", "scans", "lesions", "curves", "comparisons")
    complete = {name: (folder / f"evaluate/{name}.tsv").read_bytes() for name in names}
    small = {"network": {"size": 32, "channels": [4, 8], "latent": 8}, "train": {"steps": 4, "lr": 1e30}}
    wild = deepcopy(study)
    wild["models"]["wild"] = {"use": "baur_sae3_small", "set": small}
    done = own.snakemake(wild)
    assert done.returncode != 0
    assert "1 of 2 evaluations are missing" in done.stderr
    assert "wild seed 0 on heads: the training loss is nan" in done.stderr
    assert "2 of 9 scans were left out" in done.stderr
    assert {name: (folder / f"evaluate/{name}.tsv").read_bytes() for name in names} == complete
    assert "wild seed 0 on heads" in (folder / "report/index.html").read_text()
    assert list(json.loads((folder / "track.json").read_text())) == ["zscore_atlas/seed-0"]
    show = [sys.executable, "-m", "brainuad.cli", "show", str(folder)]
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert "wild seed 0 on heads: the training loss is nan" in shown
    assert "2 of 9 scans were left out" in shown
    # whatever is done next, the tables are made again, and of what finished nothing else
    ends = {"summarise": 1, "track": 1, "report": 1}
    assert without_ceilings(own.would_run(study)) == ends
    wild["models"]["wild"]["set"]["train"]["lr"] = 1e-3
    again = {"train": 1, "infer": 1, "postprocess": 1, "evaluate": 1, **ends}
    assert without_ceilings(own.would_run(wild)) == again
    assert own.snakemake(study).returncode == 0
    assert {name: (folder / f"evaluate/{name}.tsv").read_bytes() for name in names} == complete
    assert not (folder / "evaluate/missing.tsv").exists()
    assert "wild" not in (folder / "report/index.html").read_text()
    assert own.would_run(study) == {}


def without_ceilings(jobs):
    """The model has another input, with ceilings of its own, which the scheduler may make before the training fails."""
    return {rule: count for rule, count in jobs.items() if rule != "ceilings"}


def test_a_study_without_a_usable_training_scan_is_refused(folder_study):
    own, study = folder_study
    heads = [Scan(name, name, "heads") for name in sorted(path.name for path in (own.folder / "heads").iterdir())]
    roles = draw_split(heads, Split(**study["datasets"]["heads"]["split"]), Study.model_fields["seed"].default)
    train = [row.subject for row in roles if row.role == "train"]
    assert len(train) == 4
    corrupt_scan(own, *train)
    done = own.snakemake(study)
    assert done.returncode != 0
    assert "no healthy training subject is left" in done.stdout + done.stderr
    assert not (own.results / "test/train").exists()


def test_a_mistyped_key_is_answered_at_once_and_in_full(make_workspace):
    own = make_workspace()
    done = own.snakemake(own.study(evaluate={"peak_distance": 5}), "--dry-run", "--nolock")
    assert done.returncode == 1
    assert "error: unknown key evaluate.peak_distance" in done.stderr
    assert "did you mean peak_distance_mm?" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_folder_is_named(folder_study):
    own, study = folder_study
    study["datasets"]["heads"]["root"] = "nowhere"
    done = own.snakemake(yaml.safe_dump(study).replace("nowhere", "010"), "--dry-run")
    assert done.returncode == 1
    assert "error: cannot read the folder of heads" in done.stderr
    assert "file  010\n" in done.stderr, "to Snakemake's own reader this is the number 8"


def test_the_bare_slurm_profile_resolves():
    command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--dry-run", "--nolock", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "RuntimeWarning" not in done.stderr
