"""What a user sees when something is wrong: one bad scan, a whole bad set, a mistyped key, a server that is away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import yaml
from workspace import REPOSITORY

from brainuad.config.datasets import Split
from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.formats import array_cache, maps, model_file, scans
from brainuad.formats.scans import Scan
from brainuad.metrics.voxelwise import scored_brain
from brainuad.normalize.split import draw_split
from brainuad.predict import selftest
from brainuad.predict.export import Wanted, export
from brainuad.predict.source import load


@pytest.fixture
def folder_study(finished, make_workspace):
    """Eight heads in a folder of their own, and a study on them that needs no network."""
    own = make_workspace()
    for subject in sorted((finished.results / "download/healthy").glob("sub-*")):
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


def test_a_mistyped_key_is_answered_at_once_and_in_full(finished):
    done = finished.snakemake(finished.study(evaluate={"peak_distance": 5}), "--dry-run", "--nolock", name="typo")
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


@pytest.mark.parametrize("model", ["thresh_histeq", "zscore_atlas", "sae_test"])
def test_an_exported_model_gives_the_maps_of_the_study_bit_by_bit(finished, tmp_path, monkeypatch, model):
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(finished.folder / "masks"))
    study, file = finished.results / "test", tmp_path / "mine.brainuad"
    export(finished.folder / "study.yaml", study, Wanted(model, "1", "cleaned"), file)
    row = scans.with_role(scans.read(study / "normalize/patients.tsv"), "test")[0]
    found = load(file).predict(finished.folder / row.image)
    made, masks = study / f"infer/{model}/seed-1/patients", study / f"postprocess/{model}/seed-1/patients/cleaned"
    np.testing.assert_array_equal(found.anomaly, maps.read_map(maps.anomaly_path(made, row.scan), found.brain.shape))
    assert found.score == maps.read_scores(made)[row.scan]
    assert set(found.masks) == {"healthy_quantile_0.98", "val_dice"}
    for rule, mask in found.masks.items():
        np.testing.assert_array_equal(mask, maps.read_mask(maps.mask_path(masks, row.scan, rule), mask.shape))
    assert found.doubts == []
    unread = {name for part in model_file.read(file).bundles.values() for name in part.arrays if "held_out" in name}
    assert not unread, "the file holds residual statistics that its map does not read"


def test_the_mean_of_all_seeds_has_thresholds_and_scores_of_its_own(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(finished.folder / "masks"))
    monkeypatch.setattr(selftest, "make", lambda _: None)
    study, file = finished.results / "test", tmp_path / "mine.brainuad"
    export(finished.folder / "study.yaml", study, Wanted("sae_test", "ensemble"), file)
    about = model_file.read(file).manifest
    opened = array_cache.read(study / "normalize/healthy")
    folders = [study / f"infer/sae_test/seed-{seed}/healthy" for seed in about.seeds]
    values, scores = [], []
    for row, scan in enumerate(opened.scans):
        if scan.role == "validation":
            brain = opened.brain(row)
            each = [maps.read_map(maps.anomaly_path(folder, scan.scan), brain.shape) for folder in folders]
            values.append(np.mean(each, axis=0)[scored_brain(brain, about.erode_voxels)])
            scores.append(np.mean([maps.read_scores(folder)[scan.scan] for folder in folders]))
    above = np.mean(np.concatenate(values) > about.thresholds["healthy_quantile_0.98"].value)
    assert above == pytest.approx(0.02, abs=1e-4)
    assert about.healthy_scores == pytest.approx(sorted(scores))
    with pytest.raises(InputError, match="does not depend on the seed"):
        export(finished.folder / "study.yaml", study, Wanted("zscore_atlas", "ensemble"), file)


def test_a_study_that_was_edited_after_it_ran_is_not_exported(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(finished.folder / "masks"))
    edited = tmp_path / "edited.yaml"
    edited.write_text(
        yaml.safe_dump(finished.study(models__zscore_atlas={"use": "zscore_atlas", "set": {"smooth_mm": 9}}))
    )
    with pytest.raises(InputError, match="earlier version of the study"):
        export(edited, finished.results / "test", Wanted("zscore_atlas"), tmp_path / "mine.brainuad")
    assert not (tmp_path / "mine.brainuad").exists()


def test_the_bare_slurm_profile_resolves():
    command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--dry-run", "--nolock", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "RuntimeWarning" not in done.stderr


def test_snakemakes_own_report_can_be_made(finished):
    page = finished.folder / "snakemake.html"
    done = finished.snakemake(finished.study(), "--report", str(page))
    assert done.returncode == 0, done.stderr[-3000:]
    assert 10_000 < page.stat().st_size < 15e6
