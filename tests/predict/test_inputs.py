"""Which scans are found where a user points: files, folders, BIDS, DICOM."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainuad.download.sources import words
from brainuad.errors import InputError
from brainuad.predict import inputs
from brainuad.predict.asked import Inputs, Wanted
from brainuad.predict.inputs import find, label_of, part_of


@pytest.fixture
def folder(tmp_path):
    def make(*files: str, content: bytes = b"") -> Path:
        for file in files:
            path = tmp_path / "in" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "in"

    return make


def found(path: Path, work: Path | None = None, **wanted) -> Inputs:
    return find([path], Wanted(**{"modality": "T1w", **wanted}), work or path)


SEVERAL = {"modality": "T1w", "further": ["T2w", "FLAIR"]}


def joined(path: Path) -> dict[str, list[str] | str]:
    """Which sequences each session has, or what is wrong with it."""
    return {scan.scan: scan.problem or list(scan.files) for scan in found(path, **SEVERAL).scans}


def test_files_of_a_plain_folder_are_joined_by_their_labels(folder):
    place = folder(
        "sub-01_acq-mprage_T1w.nii.gz", "sub-01_FLAIR.nii.gz", "sub-02_T1w.nii.gz", "sub-02_run-1_T2w.nii.gz",
        "sub-03_FLAIR.nii.gz", "patient7_t1.nii.gz", "patient7_T2.nii.gz", "patient7_t2_flair.nii.gz",
        "patient8_t1.nii.gz", "patient8_flair_a.nii.gz", "patient8_flair_brain_mask.nii.gz", "unnamed.nii.gz",
        "sub-02_T1ce.nii.gz",
    )  # fmt: skip
    made = joined(place)
    assert made["sub-01"] == ["T1w", "FLAIR"]
    assert made["sub-02"] == ["T1w"]
    assert made["sub-patient7"] == ["T1w", "T2w", "FLAIR"]
    assert all("lacks T1w" in made[label] for label in ("sub-03", "sub-02_run-1", "sub-patient8a"))
    notes = found(place, **SEVERAL).notes
    assert [any(name in note for note in notes) for name in ("mask", "unnamed", "T1ce")] == [True] * 3


def test_a_folder_of_one_session_gives_it_its_name_and_two_of_a_sequence_are_a_fault(folder):
    place = folder("T1.nii.gz", "FLAIR.nii.gz")
    assert joined(place) == {"sub-in": ["T1w", "FLAIR"]}
    assert "two FLAIR" in joined(folder("t2_flair.nii.gz"))["sub-in"]


def test_a_scan_with_contrast_agent_is_no_further_t1w(folder):
    place = folder("sub-01/anat/sub-01_FLAIR.nii.gz", "sub-01/anat/sub-01_ce-gd_T1w.nii.gz", content=b"x")
    (scan,) = found(place, modality="FLAIR", further=["T1w", "T1ce"]).scans
    assert list(scan.files) == ["FLAIR", "T1ce"]
    assert any("it is T1ce" in note for note in found(place, modality="FLAIR", further=["T1w"]).notes)


def test_a_bids_folder_is_joined_by_session(folder):
    for subject, sequences in (("01", ["T1w", "FLAIR"]), ("02", ["T1w"]), ("03", ["FLAIR"])):
        folder(*(f"sub-{subject}/ses-1/anat/sub-{subject}_ses-1_{name}.nii.gz" for name in sequences), content=b"x")
    place = folder("sub-01/ses-2/anat/sub-01_ses-2_acq-x_T1w.nii.gz", content=b"x")
    made = joined(place)
    assert made["sub-01_ses-1"] == ["T1w", "FLAIR"]
    assert made["sub-01_ses-2"] == made["sub-02_ses-1"] == ["T1w"]
    assert "lacks T1w" in made["sub-03_ses-1"]
    assert any("T2w" in note for note in found(place, **SEVERAL).notes)
    assert joined(place / "sub-02") == {"sub-02_ses-1": ["T1w"]}


def test_files_of_one_session_are_named_one_by_one(folder):
    place = folder("sub-01_ses-1_acq-a_T1w.nii.gz", "sub-01_ses-1_FLAIR.nii.gz")
    paths = [place / "sub-01_ses-1_FLAIR.nii.gz", place / "sub-01_ses-1_acq-a_T1w.nii.gz"]
    (session,) = find(paths, Wanted(**SEVERAL), place).scans
    assert (session.scan, session.image, session.further) == ("sub-01_ses-1", paths[1], {"FLAIR": paths[0]})


@pytest.mark.parametrize(
    ("files", "changes", "words"),
    [
        (["a_T1w.nii.gz", "a_FLAIR.nii.gz"], {"further": []}, "the model takes one"),
        (["sub-01_T1w.nii.gz", "sub-02_FLAIR.nii.gz"], {}, "not of the same session"),
        (["sub-01_ses-1_T1w.nii.gz", "sub-01_ses-2_FLAIR.nii.gz"], {}, "not of the same session"),
        (["sub-01_T1w.nii.gz", "x.nii.gz"], {}, "nothing says which sequence x.nii.gz is"),
        (["sub-01_T1w.nii.gz", "sub-01_PDw.nii.gz"], {}, "takes no PDw"),
        (["sub-01_T1w.nii.gz", "sub-01_acq-b_T1w.nii.gz"], {}, "two T1w"),
        (["sub-01_T2w.nii.gz", "sub-01_FLAIR.nii.gz"], {}, "lacks T1w"),
        (["sub-01_T1w.nii.gz", "."], {}, "is no file"),
        (["sub-01_T1w.nii.gz"], {}, "the model takes several"),
        (["sub-01_T1w.nii.gz", "sub-01_FLAIR.nii.gz"], {"said": "T1w"}, "--modality T1w"),
        (["."], {"said": "T1w"}, "--modality T1w"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_files_that_are_no_session_are_refused(folder, files, changes, words):
    place = folder(*[name for name in files if name != "."], "sub-01_T2w.nii")
    with pytest.raises(InputError) as refused:
        find([place / name for name in files], Wanted(**{**SEVERAL, **changes}), place)
    assert words in str(refused.value)
    assert refused.value.do


def labels(path: Path, **wanted) -> list[str]:
    return [scan.scan for scan in found(path, **wanted).scans]


def fault(path: Path, **wanted) -> str:
    with pytest.raises(InputError) as caught:
        found(path, **wanted)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "label", "modality"),
    [
        ("sub-01_ses-2_T1w.nii.gz", "sub-01_ses-2", "T1w"),
        ("sub-01_acq-mprage_run-2_FLAIR.nii", "sub-01_acq-mprage_run-2", "FLAIR"),
        ("sub-01_space-MNI152_ce-gadolinium_T1w.nii.gz", "sub-01", "T1ce"),
        ("patient 7 (t1).nii.gz", "sub-patient7t1", None),
        ("sub-_T1w.nii.gz", "sub-subT1w", "T1w"),
    ],
)
def test_a_file_name_gives_label_and_modality(name, label, modality):
    assert label_of(Path(name)) == label
    assert words.modality_of(name) == modality


def test_names_without_letters_give_different_labels():
    assert label_of(Path("头.nii.gz")) != label_of(Path("脑.nii.gz"))


def test_a_file_is_taken_whatever_its_name_says(folder):
    place = folder("sub-01_FLAIR.nii.gz", "sub-01_T1w.nii.gz")
    (scan,) = found(place / "sub-01_FLAIR.nii.gz").scans
    assert (scan.scan, scan.modality) == ("sub-01", "FLAIR")


@pytest.mark.parametrize(
    ("name", "text", "modality"),
    [("patient_flair", "", "FLAIR"), ("7", '{"SeriesDescription": "t2_tse"}', "T2w"), ("7", "", None)],
)
def test_words_and_a_sidecar_name_the_modality_of_a_single_file(folder, name, text, modality):
    place = folder(f"{name}.nii.gz")
    (place / f"{name}.json").write_text(text)
    (scan,) = found(place / f"{name}.nii.gz").scans
    assert scan.modality == modality


def test_masks_and_other_modalities_in_a_folder_are_left_out_and_named(folder):
    files = (
        "a_T1w.nii.gz",
        "b.nii",
        "c_brain.nii.gz",
        "a_FLAIR.nii.gz",
        "a_brain_mask.nii.gz",
        "notes.txt",
        "BraTS-1-seg.nii.gz",
        "pat_brainmask.nii.gz",
        "p1_tumour_segmentation.nii",
    )
    made = found(folder(*files))
    assert [scan.image.name for scan in made.scans] == ["a_T1w.nii.gz", "b.nii", "c_brain.nii.gz"]
    assert sorted(note.split()[0] for note in made.notes) == [
        "BraTS-1-seg.nii.gz", "a_FLAIR.nii.gz", "a_brain_mask.nii.gz",
        "p1_tumour_segmentation.nii", "pat_brainmask.nii.gz",
    ]  # fmt: skip


def test_files_that_would_bear_one_label_are_told_apart(folder):
    one, two = labels(folder("x_1.nii.gz", "x1.nii"))
    assert one != two
    assert one.startswith("sub-x1")


def test_a_bids_data_set_gives_its_scans_of_the_modality_and_those_that_lack_one(folder):
    files = [f"sub-{name}/anat/sub-{name}_T1w.nii.gz" for name in ("01", "02")]
    made = found(folder(*files, "sub-02/anat/sub-02_T2w.nii.gz", "sub-03/anat/sub-03_T2w.nii.gz"))
    assert [(scan.scan, bool(scan.problem)) for scan in made.scans] == [
        ("sub-01", False), ("sub-02", False), ("sub-03", True),
    ]  # fmt: skip


def test_a_session_that_has_only_a_scan_with_contrast_agent_says_so(folder):
    files = [f"sub-01/anat/sub-01_ce-gd_{rest}T1w.nii.gz" for rest in ("", "run-2_")]
    made = found(folder(*files))
    assert [scan.modality for scan in made.scans] == ["T1ce"]
    assert "contrast agent" in made.notes[0]
    assert "of 2 files" in made.notes[0]


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("brats_1_flair", "FLAIR"), ("BraTS-1-t2f", "FLAIR"), ("Pat1-T1CE", "T1ce"), ("x_t1gd", "T1ce"),
        ("x_t1c", "T1ce"),
        ("T1 post contrast", "T1ce"), ("t1_mprage_post", "T1ce"), ("t1_mprage_with_contrast", "T1ce"),
        ("t1_mprage_sag_gd", "T1ce"), ("t1_post_op", "T1w"), ("t1_non-enhanced", "T1w"), ("t1_without_contrast", "T1w"),
        ("x_t1", "T1w"), ("t1_pre_contrast", "T1w"), ("T1_corrected", "T1w"), ("MPRAGE", "T1w"), ("x_T2", "T2w"),
        ("x_pd", "PDw"), ("CT_head", "ct"), ("PD_01_t1", "T1w"), ("t1_flair", "FLAIR"), ("t2_star", None),
        ("patient", None), ("t12", None),
    ],
)  # fmt: skip
def test_words_in_names_give_the_modality(name, modality):
    assert words.modality_in_words(Path(f"{name}.nii.gz")) == modality


def test_other_modalities_are_left_out_unless_the_user_says_what_the_files_are(folder):
    place = folder("a_flair.nii.gz", "a_t1.nii.gz", "a_t1ce.nii.gz")
    assert [scan.image.name for scan in found(place).scans] == ["a_t1.nii.gz"]
    assert [scan.modality for scan in found(place, said="T1w").scans] == ["T1w"] * 3


def test_the_folder_of_one_subject_gives_that_subject_alone(folder):
    root = folder("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz")
    assert labels(root / "sub-01") == ["sub-01_ses-1"]


def test_participants_and_sessions_are_chosen_by_label(folder):
    sessions = [f"sub-{sub}/ses-{ses}/anat/sub-{sub}_ses-{ses}_T1w.nii.gz" for sub in ("a", "b") for ses in ("1", "2")]
    root = folder(*sessions)
    assert labels(root, participants=["sub-b"], sessions=["2"]) == ["sub-b_ses-2"]
    assert "sub-c" in fault(root, participants=["a", "c"])


def test_a_folder_that_is_only_called_like_a_subject_is_a_plain_one(folder, monkeypatch):
    place = folder("sub-07/T1w.nii.gz", "sub-08/anat/sub-08_T1w.nii.gz", "sub-08/sub-08_task-x_T1w.nii.gz")
    assert [scan.image.name for scan in found(place / "sub-07").scans] == ["T1w.nii.gz"]
    monkeypatch.chdir(place / "sub-08")
    for path in (place / "sub-08", Path()):
        assert [scan.image.parent.name for scan in found(path).scans] == ["anat"]


def test_folders_below_are_named_where_a_folder_has_no_scan_itself(folder):
    with pytest.raises(InputError) as refused:
        found(folder("p1/T1.nii.gz"))
    assert "in/p1" in str(refused.value.do)
    with pytest.raises(InputError, match="no ses-1") as refused:
        found(folder("p1/T1.nii.gz") / "p1", sessions=["1"])
    assert "no such label" in str(refused.value.why)


@pytest.mark.parametrize("files", [(), ("notes.txt",), ("a_FLAIR.nii.gz", "b_FLAIR.nii.gz")], ids=len)
def test_a_folder_without_a_scan_is_refused(folder, tmp_path, files):
    (tmp_path / "in").mkdir()
    assert str(folder(*files)) in fault(tmp_path / "in")


def test_a_bids_folder_that_a_study_could_not_name_is_refused_in_a_sentence(folder):
    root = folder("{v2}/sub-1/anat/sub-1_T1w.nii.gz") / "{v2}"
    assert "{v2}" in fault(root)


def test_a_path_that_is_not_there_and_a_pointer_are_refused(folder):
    pointer = folder("a.nii.gz", content=b"version https://git-lfs.github.com/spec/v1\n") / "a.nii.gz"
    assert "git lfs pull" in fault(pointer)
    assert "not there" in fault(pointer.with_name("b.nii.gz"))


DICOM = b"\0" * 128 + b"DICM"


def test_dicom_without_the_converter_says_what_to_install(folder, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert inputs.CONVERTER in fault(folder("series/1.dcm", content=DICOM))


def test_dicom_is_converted_and_its_series_of_the_modality_is_taken(folder, tmp_path, monkeypatch):
    program = tmp_path / "bin" / inputs.CONVERTER
    program.parent.mkdir()
    lines = ["#!/bin/sh", "cd ${10}"]
    for name, text in (
        ("in_2_MPRAGE", "t1_mpr"), ("in_3_dark", "t2_tse"), ("in_1_x", "t1 localizer"), ("in_4_y", "ADC"),
    ):  # fmt: skip
        lines.append(f'touch {name}.nii.gz; echo \'{{"SeriesDescription": "{text}"}}\' > {name}.json')
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    work = tmp_path / "work"
    work.mkdir()
    made = found(folder("series/1.dcm", content=DICOM), work)
    (scan,) = made.scans
    assert {note.split(".")[0] for note in made.notes} == {"in_1_x", "in_3_dark", "in_4_y"}
    assert (scan.image.name, scan.modality, scan.converted) == ("in_2_MPRAGE.nii.gz", "T1w", True)


def test_parts_share_all_scans(folder):
    scans = found(folder(*(f"{n}.nii" for n in range(7)))).scans
    parts = [part_of(scans, number, 3) for number in range(3)]
    assert sorted((scan for part in parts for scan in part), key=lambda scan: scan.scan) == scans
