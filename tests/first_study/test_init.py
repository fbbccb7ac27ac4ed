"""`brainuad init` and `brainuad run`: what is found in folders, and the study that is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from brainuad.cli import main
from brainuad.config.load import load_study
from brainuad.first_study import run as run_command
from brainuad.first_study.command import init
from brainuad.first_study.divide import Said
from brainuad.plan import Plan

HEALTHY = [f"c{n}" for n in range(6)]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Empty files in a folder, where `brainuad init` then runs."""

    def files(*names: str, **texts: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts.get(path.name.partition(".")[0], ""))
        return tmp_path

    monkeypatch.chdir(tmp_path)
    return files


def bids(root: str, *subjects: str, also: tuple[str, ...] = (), modality: str = "T1w") -> list[str]:
    return [f"{root}/sub-{s}/anat/sub-{s}_{end}.nii.gz" for s in subjects for end in (modality, *also)]


def written(*arguments: str) -> dict[str, dict]:
    """The data sets of the study that is written, by label."""
    assert main(["init", *arguments]) == 0
    Plan(load_study("study.yaml")).refuse_leaks()
    return yaml.safe_load(Path("study.yaml").read_text())["datasets"]


def test_groups_of_participants_make_a_healthy_set_and_one_of_patients(make, capsys):
    rows = [f"sub-{s}\tcontrol" for s in HEALTHY] + ["sub-p0\tstroke", "sub-p1\tn/a"]
    make(
        *bids("d", *HEALTHY, "p1"), *bids("d", "p0", also=("desc-lesion_mask",)), "d/participants.tsv",
        participants="\n".join(["participant_id\tdiagnosis", *rows]),
    )  # fmt: skip
    found = written("d")
    assert found["d_healthy"]["healthy"] is True
    assert found["d_patients"]["healthy"] is False
    assert found["d_healthy"]["groups"] == {"column": "diagnosis", "healthy": ["control"], "patients": ["stroke"]}
    assert set(found["d_healthy"]["split"]) == {"train", "validation", "test"}
    study = load_study("study.yaml")
    assert {label: len(scans) for label, scans in Plan(study).scans.items()} == {"d_healthy": 6, "d_patients": 1}
    assert "zscore_atlas" in study.models
    assert "diagnosis" in capsys.readouterr().out


def test_people_of_whom_nothing_is_said_are_guessed_healthy_and_this_is_told(make, capsys):
    make(*bids("d", *HEALTHY))
    found = written("d")
    assert set(found) == {"d", "artificial"}  # something must be scored
    assert "guessed" in Path("study.yaml").read_text()
    assert "guessed" in capsys.readouterr().out


@pytest.mark.parametrize("loose", [False, True], ids=["bids", "loose"])
def test_names_of_subjects_tell_healthy_people_from_patients(make, loose):
    healthy, patients = [f"control0{n}" for n in range(6)], ["patient00", "patient01"]
    if loose:
        make(*(f"d/{s}_T1.nii.gz" for s in healthy + patients), "d/patient00_lesion.nii.gz")
    else:
        make(*bids("d", *healthy, "patient01"), *bids("d", "patient00", also=("desc-lesion_mask",)))
    found = written("d")
    assert {label: each["healthy"] for label, each in found.items()} == {"d_healthy": True, "d_patients": False}
    scans = Plan(load_study("study.yaml")).scans
    assert {scan.subject for scan in scans["d_healthy"]} == {f"sub-{s}" for s in healthy}
    assert {scan.subject: bool(scan.mask) for scan in scans["d_patients"]} == {
        "sub-patient00": True, "sub-patient01": False,
    }  # fmt: skip


def test_patients_by_their_names_do_not_train_where_no_one_has_a_mask(make):
    make(*bids("d", *HEALTHY, "stroke1", "stroke2"))
    found = written("d")
    assert set(found) == {"d_healthy", "artificial"}
    assert {scan.subject for scan in Plan(load_study("study.yaml")).scans["d_healthy"]} == {f"sub-{s}" for s in HEALTHY}


def mixed(make, loose: bool) -> None:
    """A folder where p0 alone has a lesion mask, and no name or table says what the others are."""
    if loose:
        make(*(f"d/{s}_T1.nii.gz" for s in (*HEALTHY, "p0")), "d/p0_lesion.nii.gz")
    else:
        make(*bids("d", *HEALTHY), *bids("d", "p0"), "d/derivatives/drawn/sub-p0/anat/sub-p0_label-lesion_mask.nii.gz")


@pytest.mark.parametrize("loose", [False, True], ids=["bids", "loose"])
def test_people_without_a_mask_among_others_with_one_are_what_the_user_says(make, loose):
    mixed(make, loose)
    found = written("d", "--without-mask", "healthy")
    scans = Plan(load_study("study.yaml")).scans
    assert (found["d_healthy"]["healthy"], found["d_patients"]["healthy"]) == (True, False)
    assert {scan.subject for scan in scans["d_healthy"]} == {f"sub-{s}" for s in HEALTHY}
    assert [(scan.subject, bool(scan.mask)) for scan in scans["d_patients"]] == [("sub-p0", True)]


@pytest.mark.parametrize("loose", [False, True], ids=["bids", "loose"])
def test_without_an_answer_they_are_patients_and_this_is_told(make, loose, capsys):
    mixed(make, loose)
    assert main(["init", "d"]) == 1
    told = capsys.readouterr().err
    assert "6 people without a lesion mask" in told
    assert "--without-mask healthy" in told
    make(*bids("other", *(f"x{n}" for n in range(5))))
    assert set(written("other", "d")) == {"other", "d"}
    assert "--without-mask healthy" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "found"), [(True, ["d_healthy", "d_patients"]), (False, ["d", "x"])])
def test_a_terminal_is_asked_once_and_not_of_folders_that_are_named_after_patients(make, answer, found):
    mixed(make, False)
    make(
        *bids("x", *(f"x{n}" for n in range(5))), *bids("patients", "a"), *bids("patients", "b", also=("lesion_mask",))
    )
    asked: list[str] = []
    init(
        [Path("d"), Path("x"), Path("patients")],
        Path("study.yaml"),
        None,
        Said(ask=lambda q: not asked.append(q) and answer),
    )
    assert len(asked) == 1
    assert "6 of 7 people in d" in asked[0]
    assert set(found) <= set(yaml.safe_load(Path("study.yaml").read_text())["datasets"])


def test_scans_of_patients_that_are_not_scored_are_told(make, capsys):
    make(*bids("d", *HEALTHY), *bids("patients", "a"), *bids("patients", "b", also=("desc-lesion_mask",)))
    written("d", "patients")
    assert "patients: 1 scans of patients have no lesion mask and are not scored" in capsys.readouterr().out


def test_a_folder_of_data_sets_with_masks_of_another_name(make):
    make(
        *bids("all/ixi", *HEALTHY), *bids("all/tumours", "p0", also=("desc-tumour_dseg", "desc-brain_mask")),
        "all/masks/a_space-MNI152_mask.nii.gz",
    )  # fmt: skip
    found = written("all")
    assert found["tumours"]["mask"] == {"suffix": "dseg", "entities": {"desc": "tumour"}}
    assert Plan(load_study("study.yaml")).scans["tumours"][0].mask.endswith("tumour_dseg.nii.gz")
    assert found["inserted"]["masks"] == ["all/masks"]


def test_masks_in_derivatives(make):
    make(
        *bids("d", *HEALTHY), *bids("p", "p0"), "p/derivatives/manual/sub-p0/anat/sub-p0_label-lesion_roi.nii.gz"
    )  # fmt: skip
    assert written("d", "p")["p"]["mask"] == {
        "derivatives": "manual", "suffix": "roi", "entities": {"label": "lesion"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "subjects"),
    [
        ([f"IXI00{n}-Guys-08-T1.nii.gz" for n in range(6)], {f"sub-IXI00{n}Guys08" for n in range(6)}),
        ([f"{s}/t1.nii.gz" for s in HEALTHY], {f"sub-{s}" for s in HEALTHY}),
        ([f"{s}/{s}_T1.nii.gz" for s in HEALTHY], {f"sub-{s}" for s in HEALTHY}),
        ([f"sub-{s}/T1w.nii.gz" for s in HEALTHY], {f"sub-{s}" for s in HEALTHY}),
        ([f"sub-{s}_T1w.nii.gz" for s in HEALTHY], {f"sub-{s}" for s in HEALTHY}),
        ([f"site{n % 2}/{n // 2}_t1.nii.gz" for n in range(6)], {f"sub-site{n % 2}{n // 2}" for n in range(6)}),
    ],
    ids=["flat", "folder of each", "both", "folder of each subject", "flat with sub", "sites"],
)
def test_subjects_of_loose_files(make, files, subjects):
    make(*(f"controls/{file}" for file in files))
    assert written("controls")["controls"]["healthy"] is True
    assert {scan.subject for scan in Plan(load_study("study.yaml")).scans["controls"]} == subjects


def test_folders_named_after_kinds_of_people_and_masks_beside_scans(make):
    make(
        *(f"d/healthy/{s}/flair.nii.gz" for s in HEALTHY),
        *(f"d/patients/p0/{name}.nii.gz" for name in ("flair", "lesion_mask", "brain_mask")),
        "d/patients/p1/flair.nii.gz",
    )
    found = written("d")
    assert found["healthy"]["modality"] == "FLAIR"
    scans = {scan.scan: scan for scan in Plan(load_study("study.yaml")).scans["patients"]}
    assert scans["sub-p0"].mask.endswith("lesion_mask.nii.gz")
    assert scans["sub-p1"].mask == ""


def test_folders_of_patients_by_number_and_their_segmentations(make):
    case = "BraTS-GLI-0001-000"
    ends = ("t1n", "t1c", "t2f", "seg")
    make(*bids("d", *HEALTHY), *(f"p/{case}/{case}-{end}.nii.gz" for end in ends))
    found = written("d", "p")
    (scan,) = Plan(load_study("study.yaml")).scans["p"]
    assert (Path(scan.image).name, Path(scan.mask).name) == (f"{case}-t1n.nii.gz", f"{case}-seg.nii.gz")
    assert found["p"]["healthy"] is False


def test_the_modality_is_that_of_healthy_people_and_patients_or_the_one_that_is_said(make):
    make(*bids("d", *HEALTHY, also=("FLAIR",)), *bids("p", "p0", modality="FLAIR", also=("desc-lesion_mask",)))
    assert written("d", "p")["d"]["modality"] == "FLAIR"
    Path("study.yaml").unlink()
    assert "modality" not in written("d", "p", "--modality", "T1w")["d"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (bids("d", "a", "b"), "5 are needed"),
        (["d/x_mask.nii.gz"], "no scan"),
        ([f"d/{n}.nii.gz" for n in range(6)], "--modality"),
        (["d/notes.txt"], "NIfTI"),
        (bids("d/{v2}", *HEALTHY), "misread"),
    ],
    ids=["few", "masks", "unnamed", "none", "braces"],
)
def test_what_makes_no_study_is_refused_and_writes_nothing(make, files, told, capsys):
    folder = make(*files)
    before = set(folder.rglob("*"))
    assert main(["init", *map(str, Path().glob("d/{v2}")), "d"]) == 1
    assert told in capsys.readouterr().err
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["d", "./d"], "the folder is named twice"),
        (["d", "--modality", "FLAIR"], "or another --modality"),
        (["d/sub-c0/anat/sub-c0_T1w.nii.gz"], "sub-c0_T1w.nii.gz is a file"),
        (["nothing"], "nothing holds no NIfTI file"),
    ],
    ids=["twice", "modality", "file", "nothing"],
)
def test_arguments_that_make_no_study_are_answered_with_what_is_wrong(make, arguments, told, capsys):
    (make(*bids("d", *HEALTHY)) / "nothing").mkdir()
    assert main(["init", *arguments]) == 1
    assert told in capsys.readouterr().err


def test_a_study_file_that_is_there_is_not_replaced(make, capsys):
    make(*bids("d", *HEALTHY), "study.yaml")
    assert main(["init", "d"]) == 1
    assert "-o" in capsys.readouterr().err
    assert Path("study.yaml").read_text() == ""


def test_run_becomes_snakemake_with_profile_study_and_further_arguments(make, monkeypatch):
    started: list[list[str]] = []
    monkeypatch.setattr(run_command.os, "execv", lambda _, command: started.append(command))
    make("Snakefile", "study.yaml", "profiles/local/config.yaml")
    assert main(["run", "study.yaml", "--", "-n", "--cores", "4"]) == 0
    assert started[0][1:] == [
        "-m", "snakemake", "--profile", "profiles/local", "--configfile", "study.yaml", "-n", "--cores", "4",
    ]  # fmt: skip


@pytest.mark.parametrize("files", [(), ("Snakefile",), ("Snakefile", "study.yaml")], ids=len)
def test_run_needs_a_clone_a_study_and_a_profile(make, files, capsys):
    make(*files)
    assert main(["run", "study.yaml"]) == 1
    assert "  do " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_study_file_that_is_missing_is_answered_with_the_nearest_names(make, command, capsys):
    make(
        "Snakefile",
        "profiles/local/config.yaml",
        "mine.yaml",
        "config/studies/real_t1.yaml",
        "config/studies/other.yaml",
    )
    for typed, near in (("config/studies/real_t2.yaml", "config/studies/real_t1.yaml"), ("mime.yaml", "mine.yaml")):
        assert main([command, typed]) == 1
        told = capsys.readouterr().err
        assert typed in told
        assert near in told
        assert "other.yaml" not in told
    assert main([command, "qqq.yaml"]) == 1
    assert "config/studies/other.yaml" in capsys.readouterr().err
