"""`brainuad clean` lists what a study does not need any more, and touches nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from brainuad.cli import main
from brainuad.formats import leftovers

STUDY = {
    "study": "mine",
    "results": "results",
    "datasets": {
        "healthy": {
            "source": "phantom",
            "subjects": 8,
            "healthy": True,
            "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        },
        "patients": {"source": "phantom", "subjects": 2, "healthy": False, "lesions": "ms"},
    },
    "recipe": "mri_2mm",
    "models": {"zscore_atlas": None},
    "postprocessing": {"none": "none"},
    "seeds": [0],
    "thresholds": [{"rule": "fixed", "value": 1.0}],
}
IN_USE = [
    "subjects.tsv",
    "normalize/healthy/run.json",
    "normalize/healthy.tsv",
    "preprocess/healthy/quality.tsv",
    "train/zscore_atlas/seed-0/bundle.json",
    "infer/zscore_atlas/seed-0/patients/run.json",
    "postprocess/zscore_atlas/seed-0/patients/none/run.json",
    "evaluate/zscore_atlas/seed-0/patients/run.json",
    "evaluate/metrics.tsv",
    "logs/train/old/seed-0.log",
]
UNUSED = {
    "normalize/gone": ["run.json", "images.npy", "scans.tsv", ".snakemake_timestamp"],
    "preprocess/gone": ["quality.tsv", "contact_sheets/page-1.png"],
    "train/old/seed-0": ["bundle.json", "arrays.safetensors", "metrics.csv", "system.jsonl"],
    "train/stopped/seed-0": ["resume/0123456789ab/last.ckpt"],
    "train/zscore_atlas/seed-7": ["run.json"],
    "infer/old/seed-0/patients": ["run.json", "scores.tsv", "sub-1/ses-2/anat/sub-1_anomalymap.nii.gz", ".bidsignore"],
    "infer/zscore_atlas/seed-0/gone": ["run.json"],
    "postprocess/zscore_atlas/seed-0/patients/baur2018": ["run.json", "sub-1/anat/sub-1_mask.json"],
    "native/zscore_atlas/seed-0/patients/none": ["dataset_description.json", "sub-1/anat/sub-1_mask.nii.gz"],
    "evaluate/old/seed-0/patients": ["run.json", "metrics.tsv"],
}
UNKNOWN = {
    "infer/notes/seed-0/patients": ["notes.txt"],
    "infer/mixed/seed-0/patients": ["run.json", "my_notes.txt"],
    "infer/deep/seed-0/patients": ["run.json", "sub-1/anat/figure.png"],
    "train/plain": ["weights.pt"],
    "own/old/seed-0": ["run.json"],
    "postprocess/zscore_atlas/seed-0/patients": ["readme.txt"],
}
TABLE = "scan\tsubject\tdataset\trole\n"


def write(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TABLE if name.startswith("normalize/") else "{}" * 3000)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    study = tmp_path / "results/mine"
    write(study, [*IN_USE, "normalize/gone.tsv"])
    for part, names in {**UNUSED, **UNKNOWN}.items():
        write(study / part, names)
    (study / "normalize/table.tsv").write_text("of\tmy\town\n")
    outside = tmp_path / "outside/seed-0/patients"
    write(outside, ["run.json"])
    (study / "infer/linked").symlink_to(tmp_path / "outside")
    write(study / "infer/links/seed-0/patients", ["run.json"])
    (study / "infer/links/seed-0/patients/sub-1").symlink_to(outside)
    return tmp_path / "results"


def content(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def clean(*options: str) -> int:
    return main(["clean", "results/mine", "--study", "study.yaml", *options])


def test_it_lists_and_removes_what_the_study_does_not_need(results, capsys):
    before = content(results.parent)
    assert clean() == 0
    said = capsys.readouterr().out
    for place in ("infer/old ", "train/zscore_atlas/seed-7 ", "no data set gone", "no postprocessing baur2018"):
        assert place in said
    assert "kB" in said
    assert "--yes" in said
    assert "my_notes.txt" in said
    assert "figure.png" in said
    assert content(results.parent) == before, "without --yes nothing changes"

    assert clean("--yes") == 0
    gone = {f"results/mine/{part}/{name}" for part, names in UNUSED.items() for name in names}
    assert before - content(results.parent) == gone | {"results/mine/normalize/gone.tsv"}
    for folder in ("infer/old", "train/zscore_atlas/seed-7", "native/zscore_atlas"):
        assert not (results / "mine" / folder).exists(), "no empty folder stays"
    capsys.readouterr()
    assert clean("--yes") == 0
    assert "nothing to remove" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["normalize", "train", "infer"])
def test_a_stage_on_another_disk_is_not_followed(results, stage):
    elsewhere = (results / "mine" / stage).rename(results.parent / stage)
    (results / "mine" / stage).symlink_to(elsewhere)
    before = content(elsewhere)
    assert clean("--yes") == 0
    assert content(elsewhere) == before


def test_what_killed_jobs_left_goes_and_what_others_write_stays(results, capsys):
    machine = leftovers._machine()
    dead, living, elsewhere = (
        f"{machine}-4194305t5-abcdefgh",
        f"{leftovers._owner()}-abcdefgh",
        "0123abcd-7t5-abcdefgh",
    )
    places = ["mine/infer/zscore_atlas/seed-0", "preprocess/mri_2mm/healthy", "mine/logs"]
    for place in places:
        for owner in (dead, living, elsewhere):
            write(results / place / f".part-patients-{owner}", ["run.json"])
    assert clean("--yes") == 0
    for place in places:
        left = {path.name.removeprefix(".part-patients-") for path in (results / place).glob(".part-*")}
        assert left == {living, elsewhere}
    assert "may be writing it" in capsys.readouterr().out


def test_shared_scans_go_only_when_asked_and_when_no_study_uses_them(results, capsys):
    used = ("mri_2mm/healthy", "mri_1mm/theirs", "mri_3mm/theirs", "mri_1mm/older")
    for place in (*used, "mri_1mm/healthy", "mri_2mm/theirs", "mri_1mm/nobodys"):
        write(results / "preprocess" / place / "sub-1", ["status.json", "overlay.png", "anat/sub-1_T1w.nii.gz"])
    for name, recipe in (("one", "mri_1mm"), ("two", "mri_3mm")):
        (results / name).mkdir()
        (results / name / "sources.json").write_text(json.dumps({"recipe": recipe, "sources": {"theirs": {}}}))
    write(results / "old", ["preprocess/older/quality.tsv"])
    write(results / "preprocess/mri_1mm/foreign", ["sub-1/anat/sub-1_T1w.nii.gz"])

    def there() -> set[str]:
        return {path.relative_to(results / "preprocess").as_posix() for path in (results / "preprocess").glob("*/*")}

    before = there()
    assert clean("--yes") == 0
    assert there() == before
    assert clean("--scans", "--yes") == 0
    assert before - there() == {"mri_1mm/healthy", "mri_2mm/theirs", "mri_1mm/nobodys"}
    assert "old may use" in capsys.readouterr().out


def test_the_study_file_of_the_last_run_is_the_default(results, capsys):
    assert main(["clean", "results/mine"]) == 1
    assert "--study" in capsys.readouterr().err
    noted = {"file": str(results.parent / "study.yaml")}
    (results / "mine/sources.json").write_text(json.dumps(noted))
    assert main(["clean", "results/mine"]) == 0
    assert "no data set gone" in capsys.readouterr().out
    (results / "mine/sources.json").write_text(json.dumps({"file": "gone.yaml"}))
    assert main(["report", "results/mine"]) == 1
    assert "gone.yaml" in capsys.readouterr().err, "not the demo's config.yaml"


@pytest.mark.parametrize(
    ("folder", "locked", "named"),
    [("results/other", False, "results/mine"), ("results/mine", True, "locked by a run"), ("results", False, "mine")],
)
def test_it_refuses_another_folder_and_a_run_that_goes_on(results, capsys, folder, locked, named):
    (results / "other").mkdir()
    if locked:
        write(results.parent / ".snakemake/locks", ["0.output.lock"])
    before = content(results)
    assert main(["clean", folder, "--study", "study.yaml", "--yes"]) == 1
    assert named in capsys.readouterr().err
    assert content(results) == before
