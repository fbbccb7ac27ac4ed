"""Data sets that are made of others: where their scans come from, what they are held against, what reruns them."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainuad import planned_jobs
from brainuad.bibliography import CITATION, REFERENCES
from brainuad.config.load import build_study
from brainuad.errors import ConfigError
from brainuad.formats.scans import changed
from brainuad.plan import Plan

DEMO = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture
def demo() -> dict[str, Any]:
    study = deepcopy(yaml.safe_load(DEMO.read_text()))
    study["datasets"]["odd"] = {
        "source": "artificial",
        "into": "healthy",
        "anomaly_types": ["blur"],
        "roles": ["validation"],
    }
    study["datasets"]["bad"] = {"source": "corrupted", "into": "healthy"}
    return study


def plan(study: dict[str, Any]) -> Plan:
    return Plan(build_study(study, DEMO))


def test_made_sets_share_the_scans_of_the_set_that_they_are_made_of(demo):
    made = plan(demo)
    assert {label: made.origin(label) for label in ("healthy", "odd", "bad")} == dict.fromkeys(
        ("healthy", "odd", "bad"), "healthy"
    )
    assert made.controls("odd") == made.controls("bad") == ["healthy"]
    assert not {"odd", "bad"} & set(made.sources())
    assert made.masks("odd") == made.masks("bad") == []
    assert {label for _, _, label in made.runs()} == set(demo["datasets"])


def test_the_methods_section_names_every_part_of_a_study(demo):
    demo["models"]["baur_dae_small"] = {"use": "baur_dae_small", "maps": {"plain": {"standardise": False}}}
    demo["seeds"] = [3, 4]
    text = plan(demo).methods()
    assert all(text.values())
    for part, names in (("Data", demo["datasets"]), ("Predicted masks", demo["postprocessing"])):
        assert all(f"`{name}`" in " ".join(text[part]) for name in names)
    models = " ".join(text["Models"])
    assert "`baur_dae_small_plain` is the training of `baur_dae_small`" in models
    assert "The map of `baur_dae_small` and `baur_dvae_small` is" in models
    assert "seeds 3 and 4" in models
    assert text["Preprocessing"][0].count("mri_demo") == 1
    assert set(CITATION.findall(str(text))) <= set(REFERENCES)
    passed_on = json.loads(plan(demo).job("report").tracked_json())["methods"]
    assert [heading for heading, _ in passed_on] == list(text)  # not sorted, as the keys of params are


def test_patients_are_compared_with_healthy_people_of_their_own_source(tmp_path):
    def folder(name, number):
        for i in range(number):
            path = tmp_path / f"{name}/sub-{name}{i}/anat/sub-{name}{i}_T1w.nii.gz"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"")
            if name == "hospital" and i < 2:
                path.with_name(f"sub-{name}{i}_desc-lesion_mask.nii.gz").write_bytes(b"")
        return {"source": "bids", "root": str(tmp_path / name)}

    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    hospital = folder("hospital", 4)
    sets = {
        "ixi": {**folder("ixi", 8), "healthy": True, "split": shares},
        "patients": {**hospital, "healthy": False, "exclude": ["sub-hospital2", "sub-hospital3"]},
    }
    study = {"study": "mine", "datasets": sets, "recipe": "mri_2mm", "models": {"zscore_atlas": None}}
    alone = plan(study)
    assert (alone.controls("patients"), alone.foreign_controls("patients")) == (["ixi"], True)
    assert "scanner and disease are confounded" in alone.controls_in_words("patients")
    assert alone.calibration_sets("patients") == alone.calibration_sets("ixi") == ["ixi"]
    sets["own"] = {**hospital, "healthy": True, "exclude": ["sub-hospital0", "sub-hospital1"]}
    both = plan(study)
    assert (both.controls("patients"), both.foreign_controls("patients")) == (["own"], False)
    assert "confounded" not in both.controls_in_words("patients")
    assert both.calibration_sets("patients") == ["ixi"], "the own ones are test scans alone"
    sets["own"]["split"] = {"validation": 0.5, "test": 0.5}
    assert plan(study).calibration_sets("patients") == ["own"]
    sets["ixi"]["split"] = {"train": 0.5, "validation": 0.125, "calibration": 0.125, "test": 0.25}
    calibrated = plan(study)
    assert calibrated.calibration_sets("patients") == ["ixi"]
    job = calibrated.job("postprocess", model="zscore_atlas", seed="0", dataset="patients", postprocessing="none")
    assert json.loads(job.tracked_json())["validation_roles"] == ["calibration"]
    sets["own"] |= {"split": {"calibration": 0.5, "test": 0.5}, "calibrate": "own"}
    sets["patients"]["calibrate"] = "own"
    aside = plan(study)
    assert {label: aside.calibration_sets(label) for label in sets} == {
        "ixi": ["ixi"],
        "patients": ["own"],
        "own": ["own"],
    }
    assert aside.study.threshold_sets("ixi") == {"ixi": "calibration"}
    assert aside.study.threshold_sets("patients") == aside.study.threshold_sets("own") == {"own": "calibration"}
    split = {"calibration": 0.25, "validation": 0.25, "test": 0.5}
    sets["new"] = {**folder("new", 4), "healthy": True, "split": split, "calibrate": "new"}
    sets["made"] = {"source": "artificial", "into": "new", "roles": ["validation", "test"]}
    made = plan(study).study
    assert made.threshold_sets("ixi") == {"ixi": "calibration"}, "nor do lesions in scans that are set aside"
    assert made.threshold_sets("made") == {"new": "calibration", "made": "validation"}
    del sets["made"], sets["new"]
    sets["patients"]["calibrate"] = "patients"
    with pytest.raises(ConfigError) as refused:
        plan(study)
    assert "no healthy data set with a calibration share" in refused.value.what
    del sets["patients"]["calibrate"], sets["own"]["calibrate"]
    sets["patients"]["controls"] = ["ixi"]
    assert (plan(study).controls("patients"), plan(study).foreign_controls("patients")) == (["ixi"], False)
    sets["patients"]["controls"] = ["patients"]
    with pytest.raises(ConfigError, match="no healthy data set with a test share"):
        plan(study)


def test_only_the_changed_set_is_made_again(demo):
    before = plan(demo)
    demo["datasets"]["odd"]["anomaly"] = {"strength": [0.1, 0.2]}
    after = plan(demo)
    changed = [
        label
        for label in demo["datasets"]
        if before.job("normalize", dataset=label).tracked_json() != after.job("normalize", dataset=label).tracked_json()
    ]
    assert changed == ["odd"]
    demo["seed"] = 7
    moved = plan(demo)
    assert moved.job("normalize", dataset="bad").tracked_json() != after.job("normalize", dataset="bad").tracked_json()


def test_evaluate_knows_the_chains_that_leave_one_component(demo):
    demo["postprocessing"] = {
        "top": [{"op": "closing"}, {"op": "top_components", "count": 1}],
        "three": [{"op": "top_components", "count": 3}],
        "slices": [{"op": "top_components", "count": 1, "per_slice": True}],
        "plain": [],
    }
    settings = plan(demo).job("evaluate", model="any", seed="0", dataset="bad").tracked_json()
    assert json.loads(settings)["locating"] == ["top"]


def test_scans_in_files_are_listed_again_when_another_file_is_taken(demo, tmp_path):
    for name in ("sub-1_acq-a_T1w.nii.gz", "sub-1_acq-b_T1w.nii.gz", "sub-1_desc-lesion_mask.nii.gz"):
        (tmp_path / "sub-1/anat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sub-1/anat" / name).write_bytes(b"")
    demo["datasets"]["own"] = {"source": "bids", "root": str(tmp_path), "healthy": False}
    before = plan(demo)
    image, mask = (before.scan_files("own", ["sub-1"])[f"sub-1/{key}"] for key in ("image", "mask"))
    assert (Path(image).name, Path(mask).name) == ("sub-1_acq-a_T1w.nii.gz", "sub-1_desc-lesion_mask.nii.gz")
    demo["datasets"]["own"]["entities"] = {"acq": "b"}
    after = plan(demo)
    assert (
        after.job("list_scans", dataset="own").tracked_json() != before.job("list_scans", dataset="own").tracked_json()
    )
    assert (
        after.job("preprocess", dataset="own", scan="sub-1").tracked_json()
        == before.job("preprocess", dataset="own", scan="sub-1").tracked_json()
    )


def test_a_table_is_laid_out_like_any_other_set(demo, tmp_path):
    files = {"image": tmp_path / "a.nii", "mask": tmp_path / "b.nii"}
    for path in files.values():
        path.write_bytes(b"")
    (tmp_path / "t.tsv").write_text("subject\timage\tmask\tlesion_type\nP 1\ta.nii\tb.nii\tstroke\n")
    demo["datasets"]["own"] = {"source": "table", "file": str(tmp_path / "t.tsv"), "healthy": False}
    made = plan(demo)
    assert made.scan_files("own", ["sub-P1"]) == {f"sub-P1/{key}": str(path) for key, path in files.items()}
    (tmp_path / "t.tsv").write_text("subject\timage\tmask\tlesion_type\nP 1\ta.nii\tb.nii\ttumour\n")
    assert (
        plan(demo).job("list_scans", dataset="own").tracked_json()
        != made.job("list_scans", dataset="own").tracked_json()
    )


@pytest.mark.parametrize("kind", ["image", "mask", "reference", "ignore"])
def test_a_set_is_listed_again_when_a_file_of_a_scan_has_another_name(demo, tmp_path, kind):
    (tmp_path / "a.nii").write_bytes(b"")
    (tmp_path / "t.tsv").write_text("subject\timage\nA\ta.nii\n")
    demo["datasets"]["own"] = {"source": "table", "file": str(tmp_path / "t.tsv"), "healthy": True}
    made, told = plan(demo), set()
    (row,) = made.scans["own"]
    for path in ("one/b.nii", "one/c.nii", "two/c.nii"):
        made.scans["own"] = [changed(row, **{kind: path})]
        told.add(planned_jobs.list_scans(made, "own").tracked_json())
    assert len(told) == 2, "names count, and folders do not"


def test_a_training_on_two_devices_asks_for_two_gpus_and_two_processes_where_there_is_a_network(demo):
    demo["compute"] = {"devices": 2}
    made = plan(demo)
    networks = {label for label, model in made.study.models.items() if model.uses_gpu}
    assert networks
    assert networks < set(made.study.models)
    for label in made.study.models:
        assert made.gpus(label) == (2 if label in networks else 0)
        assert made.processes(label) == (2 if label in networks else 1)
    demo["compute"]["accelerator"] = "cpu"
    assert all(plan(demo).gpus(label) == 0 and plan(demo).processes(label) == 2 for label in networks)


def test_workers_that_draw_examples_have_threads_of_their_own(demo):
    demo["compute"] = {"threads": 4, "workers": 3}
    demo["models"] = {"zscore_atlas": None, "synseg": None}
    made = plan(demo)
    assert [made.training_threads(label) for label in ("zscore_atlas", "synseg")] == [4, 7]


def test_a_limit_of_quality_judges_anew_and_preprocesses_nothing(demo):
    before = plan(demo)
    demo["recipe"]["set"]["preprocess"]["quality"] = {"max_noise_ratio": 0.4}
    after = plan(demo)
    scan = before.scans["healthy"][0].scan
    assert (
        before.job("preprocess", dataset="healthy", scan=scan).tracked_json()
        == after.job("preprocess", dataset="healthy", scan=scan).tracked_json()
    )
    assert (
        before.job("quality", dataset="healthy").tracked_json()
        != after.job("quality", dataset="healthy").tracked_json()
    )
    assert after.job("quality", dataset="healthy").outputs.table == after.job("split", dataset="healthy").inputs.quality


def test_maps_of_an_ensemble_are_made_again_when_those_of_a_member_are(demo):
    """Snakemake follows files; settings of other models are no part of the job, those of the combination are."""
    rule = {"rule": "infer", "model": "vote", "seed": "3", "dataset": "patients"}
    demo["models"]["vote"] = {"use": "ensemble", "of": ["baur_dae_small", "zscore_atlas"]}
    demo["seeds"] = [0, 3]
    before = plan(demo)
    job = before.job(**rule)
    assert [path.parts[-4:] for path in job.inputs.members] == [
        ("infer", name, "seed-3", "patients") for name in ("baur_dae_small", "zscore_atlas")
    ]
    assert not before.job(**rule | {"model": "zscore_atlas"}).inputs.members
    changes = {
        "zscore_atlas": {"use": "zscore_atlas", "set": {"map": {"smooth_mm": 9.0}}},
        "more": {"use": "ensemble", "of": ["vote", "zscore_atlas"]},
    }
    other = plan({**demo, "models": demo["models"] | changes})
    assert (job.tracked_json(), job.inputs) == (other.job(**rule).tracked_json(), other.job(**rule).inputs)
    assert other.job(**rule | {"model": "more"}).inputs.members[0] == job.outputs.maps
    for key, value in {"by": "rank", "weights": {"zscore_atlas": 2}}.items():
        changed_one = plan({**demo, "models": demo["models"] | {"vote": demo["models"]["vote"] | {key: value}}})
        assert changed_one.job(**rule).tracked_json() != job.tracked_json()
        train = [each.job("train", model="vote", seed="3").tracked_json() for each in (before, changed_one)]
        assert train[0] == train[1]
    assert plan({**demo, "evaluate": {"erode_voxels": 2}}).job(**rule).tracked_json() != job.tracked_json()
