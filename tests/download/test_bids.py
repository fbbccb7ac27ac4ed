"""Data sets in BIDS order: which scans, masks and people are found, and what is said where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brainuad.config.datasets import Bids
from brainuad.config.load import build_study
from brainuad.download.list_scans import list_scans
from brainuad.download.sources.bids import read_bids
from brainuad.download.sources.content import SourceContent
from brainuad.errors import InputError
from brainuad.formats import scans
from brainuad.formats.pointers import content_missing
from brainuad.plan import Plan

Make = Callable[..., Path]


@pytest.fixture
def root(tmp_path) -> Make:
    def make(*files: str, **tables: str) -> Path:
        for file in files:
            path = tmp_path / "set" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        for name, content in tables.items():
            (tmp_path / "set" / f"{name}.tsv").write_text(content)
        return tmp_path / "set"

    return make


def looked(root: Path, **settings: Any) -> SourceContent:
    return read_bids("x", Bids(**{"source": "bids", "root": str(root), "healthy": True, **settings}))


def images(root: Path, **settings: Any) -> list[str]:
    return [Path(scan.image).name for scan in looked(root, **settings).scans]


def masks(root: Path, **settings: Any) -> list[str]:
    return [Path(scan.mask).name for scan in looked(root, **settings).scans]


def fault(root: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        looked(root, **settings)
    return str(caught.value)


def t1(*subjects: str) -> list[str]:
    return [f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz" for subject in subjects]


def test_scans_with_and_without_sessions(root):
    folder = root("sub-02/anat/sub-02_T1w.nii.gz", "sub-01/ses-b/anat/s_T1w.nii.gz", "sub-01/ses-a/anat/s_T1w.nii")
    scans = looked(folder, source="folder").scans
    assert [scan.scan for scan in scans] == ["sub-01_ses-a", "sub-01_ses-b", "sub-02"]
    assert [scan.subject for scan in scans] == ["sub-01", "sub-01", "sub-02"]


def test_sessions_that_only_names_tell_apart_are_scans_of_their_own(root):
    folder = root("sub-1/anat/sub-1_ses-a_T1w.nii", "sub-1/anat/sub-1_ses-b_T1w.nii")
    assert [scan.scan for scan in looked(folder).scans] == ["sub-1_ses-a", "sub-1_ses-b"]


def test_the_plainest_file_is_taken_and_noted(root):
    names = (
        "sub-1_ce-gd_T1w.nii.gz",
        "sub-1_res-2mm_T1w.nii.gz",
        "sub-1_T1w.nii.gz",
        "sub-1_T1w.json",
        "x_T1w.nii.bak",
    )
    folder = root(*(f"sub-1/anat/{name}" for name in names))
    (scan,) = looked(folder).scans
    assert scan.image.endswith("/sub-1_T1w.nii.gz")
    assert scan.note == "sub-1_T1w.nii.gz of 3 files"
    assert images(folder, modality="T1ce") == ["sub-1_ce-gd_T1w.nii.gz"]
    assert looked(folder, entities={"ce": "gd"}).scans[0].note == "with contrast agent"
    assert looked(folder, modality="T1ce").scans[0].note == ""


def test_of_several_runs_the_first_is_taken_or_the_wanted_one(root):
    folder = root(*(f"sub-1/anat/sub-1_run-{n}_T1w.nii.gz" for n in ("02", "01", "10")))
    assert images(folder) == ["sub-1_run-01_T1w.nii.gz"]
    assert images(folder, entities={"run": 2}) == ["sub-1_run-02_T1w.nii.gz"]
    assert images(folder, entities={"run": "10"}) == ["sub-1_run-10_T1w.nii.gz"]
    assert "there are run-01 (1), run-02 (1), run-10 (1)" in fault(folder, entities={"run": "2"})


def test_entities_stand_in_any_order_and_may_have_to_be_absent(root):
    folder = root(
        "sub-1/ses-a/anat/sub-1_ses-a_acq-x_run-1_T1w.nii.gz",
        "sub-1/ses-b/anat/sub-1_ses-b_run-1_acq-x_T1w.nii.gz",
        "sub-2/ses-a/anat/sub-2_ses-a_T1w.nii.gz",
        "sub-3/ses-a/anat/sub-3_ses-a_acq-y_T1w.nii.gz",
    )
    assert [s.scan for s in looked(folder, entities={"acq": "x"}).scans] == ["sub-1_ses-a", "sub-1_ses-b"]
    assert [s.scan for s in looked(folder, entities={"acq": "x", "ses": "b"}).scans] == ["sub-1_ses-b"]
    assert [s.scan for s in looked(folder, entities={"acq": None}).scans] == ["sub-2_ses-a"]
    assert [s.subject for s in looked(folder, entities={"acq": ["x", "y"], "ses": ["a"]}).scans] == ["sub-1", "sub-3"]
    found = looked(folder, entities={"sub": [1, 3], "acq": "x"})
    assert [(row.subject, row.note) for row in found.failed] == [
        ("sub-3", "no *_T1w.nii.gz with sub: [1, 3], acq: x in anat/")
    ]
    text = fault(folder, entities={"acq": "mprage"})
    assert "*_T1w.nii.gz with acq: mprage; there are acq-x (2), acq-y (1), no acq (1)" in text


def test_derivatives_hold_scans_of_their_own(root):
    folder = root(
        *t1("1", "2"),
        "derivatives/prep/sub-1/anat/sub-1_space-MNI_desc-preproc_T1w.nii.gz",
        "derivatives/prep/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz",
        "derivatives/prep/derivatives/deep/sub-2/anat/sub-2_T1w.nii.gz",
        participants="participant_id\tage\nsub-1\t33\nsub-2\t44\n",
    )
    assert images(folder) == ["sub-1_T1w.nii.gz", "sub-2_T1w.nii.gz"]
    (scan,) = looked(folder, derivatives="prep").scans
    assert scan.image.endswith("derivatives/prep/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz")
    assert scan.age == "33", "the raw data set knows the people"
    assert images(folder, derivatives="prep", entities={"space": "MNI"}) == ["sub-1_space-MNI_desc-preproc_T1w.nii.gz"]
    (deep,) = looked(folder, derivatives="prep/derivatives/deep").scans
    assert (deep.subject, deep.age) == ("sub-2", "44")
    (as_root,) = looked(folder / "derivatives/prep").scans
    assert as_root.age == "33"
    assert "why   there are prep" in fault(folder, derivatives="perp")


def test_bidsignore_leaves_scans_out_but_no_masks(root):
    folder = root(
        *t1("1", "2", "3", "4"),
        "sub-1/anat/sub-1_acq-a_T1w.nii.gz",
        "sub-1/anat/sub-1_desc-lesion_mask.nii.gz",
        "sub-4/ses-x/anat/sub-4_ses-x_T1w.nii.gz",
    )
    lines = ["# left out", "sub-2/", "/sub-3/anat/*_T1w.nii.gz", "*_mask.nii.gz", "**/ses-x/", "*acq-*", "!sub-4*"]
    (folder / ".bidsignore").write_text("\n".join(lines))
    found = looked(folder)
    assert [(scan.scan, scan.note) for scan in found.scans] == [("sub-1", ""), ("sub-4", "")]
    assert found.scans[0].mask.endswith("sub-1_desc-lesion_mask.nii.gz")
    assert [row.subject for row in found.failed] == ["sub-3"], "the folder is there and its scan is left out"


def test_groups_come_from_participants(root):
    table = "participant_id\tGroup\nsub-1\tcontrol\n2\tMS\nsub-3\trelative\nsub-4\tn/a\nsub-9\tcontrol\n"
    folder = root(*t1("1", "2", "3", "4", "5"), participants=table)
    folder.joinpath("sub-2/anat/sub-2_desc-lesion_mask.nii.gz").write_bytes(b"")
    groups = {"healthy": ["control"], "patients": ["MS"]}
    healthy = looked(folder, groups=groups)
    assert [scan.subject for scan in healthy.scans] == ["sub-1"]
    assert {row.subject: row.note for row in healthy.failed} == {
        "sub-4": "its group is unknown: participants.tsv gives none",
        "sub-5": "its group is unknown: participants.tsv does not list it, but sub-9 without a folder",
    }
    assert [scan.subject for scan in looked(folder, healthy=False, groups=groups).scans] == ["sub-2"]
    everyone_else = {"healthy": ["control"]}
    assert [s.subject for s in looked(folder, healthy=False, groups=everyone_else).scans] == ["sub-2", "sub-3"]
    text = fault(folder, groups={"healthy": ["control", "controls"]})
    assert "no subject of x is in the group controls" in text
    assert "column group has n/a (2), MS (1), control (1), relative (1)" in text
    assert "no column diagnosis" in fault(folder, groups={"column": "diagnosis", "healthy": ["control"]})
    (folder / "participants.tsv").unlink()
    assert "x has no participants.tsv with groups" in fault(folder, groups=groups)


def test_sessions_may_have_ages_and_groups_of_their_own(root):
    folder = root(
        *(f"sub-1/ses-{n}/anat/sub-1_ses-{n}_T1w.nii.gz" for n in "12"),
        participants="participant_id\tage\tsex\nsub-1\t50\tF\n",
    )
    (folder / "sub-1/sub-1_sessions.tsv").write_text("session_id\tage\tgroup\nses-1\tn/a\tbefore\nses-2\t53\tafter\n")
    assert [(s.age, s.sex) for s in looked(folder).scans] == [("50", "F"), ("53", "F")]
    groups = {"healthy": ["before"], "patients": ["after"]}
    assert looked(folder, columns={"site": "group"}).scans[0].site == "before", "a column of sessions.tsv alone"
    assert [scan.scan for scan in looked(folder, groups=groups).scans] == ["sub-1_ses-1"]


def test_columns_may_have_other_names(root):
    table = "\ufeffparticipant_id\tAge\tgender\tscanner\nsub-1\t41\tF\tA\nsub-2\tn/a\tM\tB\nsub-1\t42\tF\tA\n"
    folder = root(*t1("1", "2"), participants=table)
    one, two = looked(folder, columns={"sex": "gender", "site": "scanner"}).scans
    assert (one.age, one.sex, one.site) == ("41", "F", "A")
    assert (two.age, two.sex, two.site) == ("", "M", "B")
    assert one.note == "participants.tsv lists sub-1 more than once, the first line counts"
    text = fault(folder, columns={"site": "centre"})
    assert "x has no column centre" in text
    assert "datasets.x.columns.site" in text


def test_a_table_one_folder_up_may_name_the_set(root):
    folder = root(*t1("1"))
    (folder.parent / "participants.tsv").write_text(
        "participant\tdataset\tage\nset/sub-1\tset\t30\nother/sub-1\tother\t9\n"
    )
    assert looked(folder).scans[0].age == "30"


def test_masks_beside_the_scan_and_exclusions(root):
    folder = root(*t1("1", "2"), "sub-1/anat/sub-1_desc-lesion_mask.nii.gz")
    assert masks(folder) == ["sub-1_desc-lesion_mask.nii.gz", ""]
    assert images(folder, exclude=["sub-1"]) == ["sub-2_T1w.nii.gz"]


@pytest.mark.parametrize(
    ("file", "mask"),
    [
        (
            "derivatives/les/sub-1/anat/sub-1_label-lesion_mask.nii.gz",
            "derivatives/les/sub-*/anat/*_label-lesion_mask.nii*",
        ),
        (
            "derivatives/les/sub-1/anat/sub-1_label-lesion_mask.nii.gz",
            {"derivatives": "les", "entities": {"label": "lesion"}},
        ),
        ("masks/sub-1_desc-T1lesion_mask.nii", "masks/*lesion*"),
        ("sub-1/anat/sub-1_label-L_desc-T1lesion_mask.nii.gz", {"entities": {"desc": "T1lesion", "label": ["L", "R"]}}),
        ("sub-1/anat/sub-1_lesion_roi.nii.gz", "*_roi.nii.gz"),
        ("sub-1/anat/sub-1_label-lesion_roi.nii.gz", {"suffix": "roi"}),
    ],
)
def test_masks_lie_where_settings_say(root, file, mask):
    folder = root(*t1("1", "2", "12"), file, file.replace("sub-1", "sub-12"), "masks/all_lesion_mask.nii.gz")
    name = Path(file).name
    assert masks(folder, mask=mask, healthy=False) == [name, name.replace("sub-1", "sub-12"), ""]


def test_masks_follow_the_sessions(root):
    place = "derivatives/les/sub-1/ses-{n}/anat/sub-1_ses-{n}_label-lesion_mask.nii.gz"
    folder = root(
        *(f"sub-1/ses-{n}/anat/sub-1_ses-{n}_T1w.nii.gz" for n in "123"),
        *(place.format(n=n) for n in "12"),
        "derivatives/les/sub-1/anat/sub-1_ses-3_label-lesion_mask.nii.gz",
    )
    pattern = masks(folder, mask="derivatives/les/sub-*/ses-*/anat/*lesion_mask.nii.gz")
    assert pattern == ["sub-1_ses-1_label-lesion_mask.nii.gz", "sub-1_ses-2_label-lesion_mask.nii.gz", ""]
    by_names = masks(folder, mask={"derivatives": "les"})
    assert by_names == [f"sub-1_ses-{n}_label-lesion_mask.nii.gz" for n in "123"]


def test_a_mask_of_another_run_is_not_taken(root):
    folder = root(
        "sub-1/anat/sub-1_run-1_T1w.nii.gz",
        "sub-1/anat/sub-1_run-2_T1w.nii.gz",
        "sub-1/anat/sub-1_run-2_desc-lesion_mask.nii.gz",
    )
    (scan,) = looked(folder).scans
    assert Path(scan.image).name == "sub-1_run-2_T1w.nii.gz", "the one that the mask belongs to"
    assert Path(scan.mask).name == "sub-1_run-2_desc-lesion_mask.nii.gz"
    (scan,) = looked(folder, entities={"run": 1}).scans
    assert (scan.mask, scan.note) == ("", "sub-1_run-2_desc-lesion_mask.nii.gz belongs to another file")


def test_of_several_masks_the_one_named_like_the_scan_is_taken(root):
    names = ("acq-a_FLAIR_lesion_mask.nii.gz", "sub-1_T1w_lesion_mask.nii.gz", "sub-1_T1w.nii.gz")
    (scan,) = looked(root(*(f"sub-1/anat/{name}" for name in names))).scans
    assert scan.mask.endswith("/sub-1_T1w_lesion_mask.nii.gz")
    assert "of 2 files" in scan.note
    names = ("sub-2_space-MNI_desc-lesion_mask.nii.gz", "sub-2_desc-zlesion_mask.nii.gz", "sub-2_T1w.nii.gz")
    assert masks(root(*(f"sub-2/anat/{name}" for name in names)))[1] == "sub-2_desc-zlesion_mask.nii.gz"


@pytest.mark.parametrize("mask", [{}, {"mask": "*mask.nii.gz"}, {"mask": {"suffix": "mask"}}])
def test_ids_and_masks_of_the_brain_are_no_lesions(root, mask):
    """The ids hold the word that the pattern looks for, and one an underscore."""
    subjects = ("sub-lesion01", "sub-AD_lesion2", "sub-3")
    files = [
        f"{sub}/ses-lesion/anat/{sub}_ses-lesion_{end}.nii.gz"
        for sub in subjects
        for end in ("T1w", "desc-brain_mask", "label-GM_mask", "headmask")
    ]
    lesion = "sub-lesion01/ses-lesion/anat/sub-lesion01_ses-lesion_label-lesion_mask.nii.gz"
    found = looked(root(*files, lesion), healthy=False, **mask).scans
    assert {scan.subject: Path(scan.mask).name for scan in found} == {
        "sub-lesion01": Path(lesion).name,
        "sub-ADlesion2": "",
        "sub-3": "",
    }


def test_a_pattern_that_names_ids_or_brains_is_taken_at_its_word(root):
    folder = root(*t1("lesion1"), "sub-lesion1/anat/sub-lesion1_desc-brain_mask.nii.gz")
    for mask in ("sub-lesion*_desc-brain_mask.nii.gz", {"entities": {"desc": "brain"}}):
        assert masks(folder, mask=mask) == ["sub-lesion1_desc-brain_mask.nii.gz"]


CLEAR = [
    (["label-lesionL1_mask", "label-lesionL2_mask", "label-lesionL3_mask"], 3),
    (["desc-lesion1_mask", "desc-lesion2_mask"], 2),
    (["lesion-1_mask", "lesion-2_mask"], 2),
    (["run-1_desc-lesion_mask", "run-2_desc-lesion_mask"], 2),
    (["hemi-L_desc-lesion_mask", "hemi-R_desc-lesion_mask"], 2),
    (["T1w_lesion_mask", "FLAIR_lesion_mask"], 1),
    (["desc-lesion_mask", "space-MNI_desc-lesion_mask"], 1),
]
UNCLEAR = [
    ["desc-lesionRater1_mask", "desc-lesionRater2_mask"],
    ["rater-1_desc-lesion_mask", "rater-2_desc-lesion_mask"],
    ["label-lesionexpert1_mask", "label-lesionexpert2_mask"],
    ["desc-manuallesion_mask", "desc-autolesion_mask"],
    ["desc-T1lesion_mask", "desc-T2lesion_mask"],
]


@pytest.mark.parametrize(("ends", "taken"), CLEAR)
def test_parts_of_a_mask_are_taken_together(root, ends, taken):
    names = [f"sub-1_{end}.nii.gz" for end in ends]
    (scan,) = looked(root(*t1("1"), *(f"sub-1/anat/{name}" for name in names)), healthy=False).scans
    assert [Path(path).name for path in scan.mask.split(" | ")] == names[:taken]
    assert [key for key in scan.files() if key.startswith("mask")] == ["mask", "mask-2", "mask-3"][:taken]
    assert ("masks are one" if taken > 1 else "of 2 files") in scan.note
    assert names[0] in scan.note


@pytest.mark.parametrize("ends", UNCLEAR)
def test_masks_of_several_raters_or_kinds_are_not_guessed_at(root, ends):
    names = [f"sub-1_{end}.nii.gz" for end in ends]
    folder = root(*t1("1", "2"), *(f"sub-1/anat/{name}" for name in names), "sub-2/anat/sub-2_desc-lesion_mask.nii.gz")
    found = looked(folder, healthy=False)
    scan = found.scans[0]
    assert scan.mask == ""
    assert "not clear" in scan.note
    assert found.remarks()[0] == "1 of 2 scans of patients have no lesion mask and cannot be scored"
    assert "not clear" in found.remarks()[2]
    assert all(name in scan.note for name in names)
    assert len(looked(folder).scans[0].mask.split(" | ")) == 2, "healthy subjects have none: all are read"
    chosen = masks(folder, healthy=False, mask=f"*{ends[0].split('_')[0]}*")
    assert chosen[0] == names[0]


def test_a_part_of_a_mask_without_data_is_missing_as_a_whole(root):
    folder = root(*t1("1", "2"), "sub-1/anat/sub-1_label-lesion1_mask.nii.gz", "sub-2/anat/sub-2_lesion_mask.nii.gz")
    (folder / "sub-1/anat/sub-1_label-lesion2_mask.nii.gz").symlink_to(".git/annex/objects/x/y")
    scan = looked(folder, healthy=False).scans[0]
    assert scan.mask == ""
    assert "sub-1_label-lesion2_mask.nii.gz is a link into git-annex" in scan.note


def test_ct_lies_in_its_own_folder(root):
    folder = root("sub-1/ct/sub-1_ct.nii.gz", "sub-2/anat/sub-2_CT.nii.gz")
    assert [scan.scan for scan in looked(folder, modality="ct").scans] == ["sub-1", "sub-2"]


def test_folders_that_cannot_serve_are_refused(root, tmp_path):
    assert "cannot read the folder of x" in fault(tmp_path / "nowhere")
    folder = root("sub-1/anat/sub-1_T2w.nii.gz")
    text = fault(folder)
    assert "x holds no scans" in text
    assert "sub-*/[ses-*/]anat/*_T1w.nii.gz" in text
    assert "sub-9 is excluded but not in x" in fault(folder, modality="T2w", exclude=["sub-9"])
    assert "there is no folder derivatives" in fault(folder, derivatives="prep")
    assert "x has no folder of lesion masks" in fault(folder, mask="derivatives/les/sub-*/anat/*")
    assert "x has no folder of lesion masks" in fault(folder, mask={"derivatives": "les"})


def test_patients_without_any_mask_are_refused_unless_they_are_only_preprocessed(root):
    folder = root(*t1("1"))
    text = fault(folder, healthy=False)
    assert "x has no lesion mask to score by" in text
    assert "no file matches *lesion*mask.nii*" in text
    assert images(folder, healthy=False, split=None) == ["sub-1_T1w.nii.gz"]


def test_subjects_without_a_file_are_listed_as_failed(root):
    folder = root(*t1("1"), "sub-2/anat/other.txt", "sub-3/ses-1/anat/sub-3_ses-1_T1w.nii.gz", "sub-4/func/x.nii.gz")
    (folder / "sub-2/anat/sub-2_T1w.nii.gz").symlink_to(folder / "nowhere.nii.gz")
    (folder / "sub-3/ses-2/anat").mkdir(parents=True)
    (folder / "sub-3/ses-2/anat/sub-3_ses-2_T1w.nii.gz").symlink_to(folder / "nowhere.nii.gz")
    found = looked(folder)
    lost = "sub-3_ses-2_T1w.nii.gz is a broken link"
    assert [(scan.scan, scan.note) for scan in found.scans] == [("sub-1", ""), ("sub-3_ses-1", lost)]
    assert [(row.scan, row.state, row.note) for row in found.failed] == [
        ("sub-2", "failed", "sub-2_T1w.nii.gz is a broken link"),
        ("sub-4", "failed", "no *_T1w.nii.gz in anat/"),
    ]
    (folder / "sub-1/anat/sub-1_T1w.nii.gz").unlink()
    (folder / "sub-3/ses-1/anat/sub-3_ses-1_T1w.nii.gz").unlink()
    assert "do    fetch the files behind the links" in fault(folder)


def test_the_table_of_the_data_set_holds_scans_and_failures(root, tmp_path):
    settings = Bids(source="bids", root=str(root(*t1("1"), "sub-2/anat/other.txt")), healthy=True)
    list_scans("x", settings, tmp_path / "out/subjects.tsv")
    assert [(row.scan, row.state) for row in scans.read(tmp_path / "out/subjects.tsv")] == [
        ("sub-1", ""),
        ("sub-2", "failed"),
    ]
    assert str(tmp_path) not in (tmp_path / "out/run.json").read_text(), "paths name machines and people"


ANNEX_KEY = f"MD5E-s1000--{'0' * 32}.nii.gz"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize(
    ("link", "content", "words"),
    [
        ("", b"", None),
        ("", b"x" * 99, None),
        ("", LFS_POINTER, "git lfs pull"),
        ("", f"/annex/objects/{ANNEX_KEY}\n".encode(), "datalad get"),
        (f"../.git/annex/objects/Xx/01/{ANNEX_KEY}/{ANNEX_KEY}", b"", "datalad get"),
        ("nowhere.nii.gz", b"", "broken link"),
        ("x.nii.gz", b"", "leads back to itself"),
    ],
)
def test_files_without_their_data_are_told_from_others(tmp_path, link, content, words):
    path = tmp_path / "x.nii.gz"
    if link:
        path.symlink_to(link)
    else:
        path.write_bytes(content)
    said = content_missing(path)
    assert said is None if words is None else words in str(said)


def lesions(*subjects: str) -> list[str]:
    return [f"sub-{subject}/anat/sub-{subject}_desc-lesion_mask.nii.gz" for subject in subjects]


def replaced(path: Path, content: bytes = b"", link: str = "") -> None:
    path.unlink()
    if link:
        path.symlink_to(link)
    else:
        path.write_bytes(content)


def test_masks_that_were_not_fetched_are_told_from_absent_ones(root):
    folder = root(*t1("1", "2", "3"), *lesions("1", "2", "3"))
    replaced(folder / lesions("2")[0], link=f"../../.git/annex/objects/Xx/{ANNEX_KEY}")
    replaced(folder / lesions("3")[0], LFS_POINTER)
    one, two, three = looked(folder, healthy=False).scans
    assert (bool(one.mask), two.mask, three.mask) == (True, "", "")
    assert "sub-2_desc-lesion_mask.nii.gz is a link into git-annex" in two.note
    assert "git lfs pull" in three.note
    replaced(folder / lesions("1")[0], LFS_POINTER)
    text = fault(folder, healthy=False)
    assert "no lesion mask" in text
    assert "sub-1_desc-lesion_mask.nii.gz is a Git LFS pointer" in text


def test_scans_that_were_not_fetched_are_failures_with_the_remedy(root):
    folder = root(*t1("1", "2"))
    replaced(folder / t1("2")[0], f"/annex/objects/{ANNEX_KEY}".encode())
    found = looked(folder)
    assert [(row.subject, "datalad get" in row.note) for row in found.failed] == [("sub-2", True)]
    replaced(folder / t1("1")[0], LFS_POINTER)
    assert "git lfs pull" in fault(folder)


@pytest.mark.parametrize("name", ["acq-scout", "acq-AAHScout", "acq-localizer", "acq-loc", "part-phase", "acq-survey"])
def test_a_scout_is_taken_for_no_scan(root, name):
    folder = root(f"sub-1/anat/sub-1_{name}_T1w.nii.gz", "sub-1/anat/sub-1_acq-mprageLocalAdni_T1w.nii.gz")
    (scan,) = looked(folder).scans
    assert scan.note == "sub-1_acq-mprageLocalAdni_T1w.nii.gz of 2 files"
    root(f"sub-2/anat/sub-2_{name}_T1w.nii.gz")
    assert [row.note for row in looked(folder).failed] == [f"sub-2_{name}_T1w.nii.gz is a localizer or the like"]
    key, _, value = name.partition("-")
    assert images(folder, entities={key: value}) == [f"sub-{n}_{name}_T1w.nii.gz" for n in "12"]


def test_ids_may_hold_underscores(root):
    people = ("AD_001", "AD_002", "AD")
    folder = root(*t1(*people), *lesions(*people), participants="participant_id\tage\nAD_001\t5\nsub-AD_002\t6\n")
    found = looked(folder, healthy=False, exclude=["sub-AD"]).scans
    assert [(scan.scan, scan.age, scan.note) for scan in found] == [
        ("sub-AD001", "5", "its folder is sub-AD_001"),
        ("sub-AD002", "6", "its folder is sub-AD_002"),
    ]
    assert [Path(scan.mask).name for scan in found] == [f"sub-{n}_desc-lesion_mask.nii.gz" for n in people[:2]]
    assert images(folder, entities={"sub": "AD_002"}) == ["sub-AD_002_T1w.nii.gz"]
    root("masks/sub-AD_001_mask.nii.gz", "masks/sub-AD_mask.nii.gz")
    assert masks(folder, healthy=False, mask="masks/*") == ["sub-AD_mask.nii.gz", "sub-AD_001_mask.nii.gz", ""]
    root(*t1("AD001"))
    assert "has sub-AD001 and sub-AD_001" in fault(folder, healthy=False)


def test_sessions_may_hold_underscores(root):
    folder = root(*(f"sub-1/ses-{n}/anat/sub-1_ses-{n}_T1w.nii.gz" for n in ("pre_a", "pre_b")))
    root(*(f"sub-1/ses-{n}/anat/sub-1_ses-{n}_lesion_mask.nii.gz" for n in ("pre_a", "pre_b")))
    found = looked(folder, healthy=False).scans
    assert [scan.scan for scan in found] == ["sub-1_ses-prea", "sub-1_ses-preb"]
    assert [Path(scan.mask).name[6:15] for scan in found] == ["ses-pre_a", "ses-pre_b"]


def test_sessions_that_become_one_label_cost_their_subject(root):
    folder = root(*t1("2"), *(f"sub-1/ses-{n}/anat/sub-1_ses-{n}_T1w.nii.gz" for n in ("1_a", "1a", "2")))
    found = looked(folder)
    assert [scan.scan for scan in found.scans] == ["sub-2"]
    assert "ses-1_a and ses-1a" in found.failed[0].note


def test_names_that_are_no_unicode_cost_their_subject(root, tmp_path):
    folder = root(*t1("1"))
    name = os.fsdecode(b"sub-M\xfcller")
    (folder / name / "anat").mkdir(parents=True)
    (folder / name / f"anat/{name}_T1w.nii.gz").touch()
    found = looked(folder)
    assert [scan.scan for scan in found.scans] == ["sub-1"]
    assert "must be renamed" in found.failed[0].note
    scans.write(tmp_path / "subjects.tsv", found.scans + found.failed)


def test_a_file_of_somebody_else_is_not_taken(root):
    folder = root(*t1("1", "2"), "sub-2/anat/sub-1_acq-a_T1w.nii.gz", "sub-3/anat/sub-1_T1w.nii.gz")
    root("sub-4/ses-1/anat/sub-4_ses-2_T1w.nii.gz", "sub-05/ses-01/anat/sub-5_ses-1_T1w.nii.gz")
    found = looked(folder)
    assert images(folder) == ["sub-5_ses-1_T1w.nii.gz", "sub-1_T1w.nii.gz", "sub-2_T1w.nii.gz"]
    assert found.scans[0].scan == "sub-05_ses-01"
    assert "sub-1_acq-a_T1w.nii.gz lies in sub-2" in found.scans[2].note
    assert [(row.subject, row.note[:34]) for row in found.failed] == [
        ("sub-3", "sub-1_T1w.nii.gz lies in sub-3, bu"),
        ("sub-4", "sub-4_ses-2_T1w.nii.gz lies in ses"),
    ]


def test_a_name_that_snakemake_would_misread_costs_its_subject(root):
    names = ("T1w (it's 50%) [ü]", "{v2}", "<a>")
    folder = root(*(f"sub-{n}/anat/sub-{n}_acq-{name}_T1w.nii.gz" for n, name in enumerate(names)))
    found = looked(folder)
    assert [scan.scan for scan in found.scans] == ["sub-0"]
    assert ["must be renamed" in row.note for row in found.failed] == [True, True]


def test_names_may_be_written_with_their_prefix_or_nearly(root):
    folder = root(*(f"sub-001/ses-{n}/anat/sub-001_ses-{n}_T1w.nii.gz" for n in "12"))
    assert images(folder, entities={"ses": "ses-2"}) == ["sub-001_ses-2_T1w.nii.gz"]
    assert "did you mean sub-001?" in fault(folder, exclude=["1"])
    assert "all of its 1 subjects are left out" in fault(folder, exclude=["sub-001"])


def test_a_folder_that_cannot_be_read_costs_its_subject(root, monkeypatch):
    folder = root(*t1("1", "2"))
    (folder / "sub-3").symlink_to("sub-3")
    (folder / "sub-4").symlink_to("nowhere")
    opened = os.scandir

    def refuse(place):
        if str(place).endswith("sub-2"):
            raise PermissionError(13, "Permission denied")
        return opened(place)

    monkeypatch.setattr(os, "scandir", refuse)
    found = looked(folder)
    assert [scan.scan for scan in found.scans] == ["sub-1"]
    notes = {row.subject: row.note.removeprefix("its folder cannot be read: ") for row in found.failed}
    assert notes == {
        "sub-2": "Permission denied",
        "sub-3": "Too many levels of symbolic links",
        "sub-4": "No such file or directory",
    }


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("SUB-01/anat/SUB-01_T1w.nii.gz", "no folder sub-*, but SUB-01"),
        ("rawdata/sub-01/anat/sub-01_T1w.nii.gz", "but in rawdata/"),
        ("anat/sub-01_T1w.nii.gz", "no folder sub-*, but anat"),
        ("sub-01/anat/sub-01_t1w.nii.gz", "sub-01/anat/ has sub-01_t1w.nii.gz"),
        ("sub-01/anat/sub-01_T1w.mgz", "sub-01/anat/ has sub-01_T1w.mgz"),
        ("sub-01/ses-1/dwi/x.nii.gz", "sub-01/ses-1/ has dwi"),
    ],
)
def test_a_folder_without_scans_is_told_by_what_is_in_it(root, file, words):
    assert words in fault(root(file))


GROUPS = {"healthy": ["control"], "patients": ["patient"]}


def people(folder: Path, content: str | bytes, **settings: Any) -> SourceContent:
    """The healthy of this participants.tsv."""
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "participants.tsv").write_bytes(data)
    return looked(folder, **{"groups": GROUPS, **settings})


TABLE = "participant_id\tsex\tgroup\nsub-001\tF\tcontrol\nsub-002\tF\tpatient\nsub-010\tM\tcontrol\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (TABLE, ""),
        (TABLE.replace("\n", "\r\n"), ""),
        (TABLE.replace("\n", "\r"), ""),
        (TABLE.replace("sub-", "SUB-"), ""),
        (TABLE.replace("\t", " \t "), ""),
        ("# made by hand\n\n" + TABLE, ""),
        (TABLE.replace("sub-001", "sub-001\u200b\u00a0"), ""),
        (TABLE.replace("F\t", '"moved a bit\t'), ""),
        ("".join(f'"{line}"\n' for line in TABLE.replace("\t", '"\t"').splitlines()), ""),
        (TABLE.encode("utf-16"), ""),
        (TABLE.encode("utf-16-le"), ""),
        (TABLE.replace("F", "männlich").encode("latin-1"), ""),
        (TABLE.replace("\t", ","), ""),
        (TABLE.replace("\t", ";"), ""),
        (TABLE.replace("participant_id", "Subject ID"), ""),
        (TABLE.replace("sub-0", ""), "participants.tsv has 01, the folder is sub-001"),
        (TABLE.replace("sub-00", "").replace("sub-0", ""), "participants.tsv has 1, the folder is sub-001"),
        (TABLE.replace("sub-001", "1.0"), "participants.tsv has 1.0, the folder is sub-001"),
        (TABLE.replace("sub-001", "sub001"), "participants.tsv has sub001, the folder is sub-001"),
        (TABLE.replace("sub-001", "sub_001"), "participants.tsv has sub_001, the folder is sub-001"),
        (TABLE + "sub-001\tM\tcontrol\n", "participants.tsv lists sub-001 more than once, the first line counts"),
    ],
)
def test_participants_are_read_as_programs_write_them(root, content, note):
    found = people(root(*t1("001", "002", "010")), content)
    assert [scan.subject for scan in found.scans] == ["sub-001", "sub-010"]
    assert found.scans[0].note == note
    assert found.failed == []
    assert found.scans[1].sex == "M"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["1\tF\tcontrol", "01\tF\tpatient"], "participants.tsv has 01 and 1, the folders are sub-001"),
        (["sub-001\tF\tcontrol", "sub-001\tF\tpatient"], "lists sub-001 as control and as patient"),
        (["sub-001\tF\tx\tcontrol"], "line 2 of participants.tsv has 4 cells, the first line has 3"),
        (["sub-001\tF\tn/a"], "participants.tsv gives none"),
        ([], "participants.tsv does not list it"),
    ],
)
def test_a_group_that_is_not_clear_is_unknown_with_its_reason(root, lines, why):
    table = "\n".join(["participant_id\tsex\tgroup", *lines, "sub-002\tF\tcontrol"])
    found = people(root(*t1("001", "002")), table)
    assert [scan.subject for scan in found.scans] == ["sub-002"]
    assert why in found.failed[0].note


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TABLE.replace("sub-", "AB"), ["lists none of the subjects", "AB001, AB002, AB010", "sub-001, sub-002"]),
        (TABLE.replace("participant_id", "proband"), ["no column participant_id", "proband, sex, group"]),
        (TABLE.replace("sex", "group"), ["two columns group"]),
        (TABLE.replace("\tgroup", "\tdiagnosis"), ["no column group", "diagnosis"]),
        (TABLE.replace("\t", "   "), ["separated by blanks"]),
        (b"PK\x03\x04 xlsx", ["it is a spreadsheet"]),
        (b"\x1f\x8b\x08", ["it is compressed"]),
        (TABLE.partition("\n")[0], ["participants.tsv of x lists no subject"]),
        ("", ["participants.tsv of x lists no subject"]),
        (LFS_POINTER, ["participants.tsv", "git lfs pull"]),
    ],
)
def test_participants_that_cannot_tell_groups_are_refused(root, content, words):
    folder = root(*t1("001", "002", "010"))
    with pytest.raises(InputError) as caught:
        people(folder, content)
    for each in words:
        assert each in str(caught.value)


def test_without_groups_participants_that_fit_nobody_are_noted(root, tmp_path, log):
    folder = root(*t1("001", "002"))
    assert "lists none of the subjects" in people(folder, TABLE.replace("sub-", "AB"), groups=None).notes[0]
    assert "no column participant_id" in people(folder, TABLE.replace("participant_id", "x"), groups=None).notes[0]
    settings = Bids(source="bids", root=str(folder), healthy=True)
    list_scans("x", settings, tmp_path / "out/subjects.tsv")
    assert "x: participants.tsv has no column participant_id" in log.getvalue()


def test_sessions_written_with_other_zeros_are_matched(root):
    folder = root(*(f"sub-1/ses-0{n}/anat/sub-1_ses-0{n}_T1w.nii.gz" for n in "12"))
    (folder / "sub-1/sub-1_sessions.tsv").write_text("session_id\tage\n1\t50\nses-2\t53\n")
    found = looked(folder).scans
    assert [scan.age for scan in found] == ["50", "53"]
    assert found[0].note == "sub-1_sessions.tsv has 1, the folder is ses-01"


def test_what_was_noticed_is_told_by_check(root):
    folder = root(
        *t1("1", "2", "3"), "sub-1/anat/sub-1_acq-scout_T1w.nii.gz", *(f"sub-x{n}/anat/x.txt" for n in range(7))
    )
    assert looked(folder).remarks() == [
        "subjects left out: 7",
        *(f"  sub-x{n}: no *_T1w.nii.gz in anat/" for n in range(5)),
        "  and 2 more",
        "scans with a note: 1",
        "  sub-1: sub-1_T1w.nii.gz of 2 files",
    ]
    study = {"study": "mine", "recipe": "mri_2mm", "models": {"zscore_atlas": None}}
    people = {"source": "bids", "root": str(folder), "healthy": True}
    split = {"train": 0.34, "validation": 0.33, "test": 0.33}
    plan = Plan(build_study({**study, "datasets": {"people": {**people, "split": split}}}, "config.yaml"))
    assert plan.remarks("people")[0] == "subjects left out: 7"


def test_a_table_by_another_name_or_behind_a_broken_link_is_named(root):
    folder = root(*t1("1"))
    (folder / "Participants.csv").touch()
    assert "there is Participants.csv" in fault(folder, groups=GROUPS)
    (folder / "participants.tsv").symlink_to(f".git/annex/objects/{ANNEX_KEY}")
    assert "datalad get" in fault(folder, groups=GROUPS)
    assert "datalad get" in fault(folder)


def test_hidden_files_and_folders_with_an_ending_are_no_scans(root):
    folder = root(*t1("1"), "sub-1/anat/._sub-1_T1w.nii.gz", "sub-1/anat/._sub-1_lesion_mask.nii.gz")
    root("sub-1/anat/sub-1_acq-a_T1w.nii/x.dcm")
    (scan,) = looked(folder).scans
    assert (Path(scan.image).name, scan.mask, scan.note) == ("sub-1_T1w.nii.gz", "", "")


def test_a_broken_pattern_of_bidsignore_is_taken_as_text(root):
    folder = root(*t1("1", "2"))
    (folder / ".bidsignore").write_text("sub-[z-a]/\n[\nsub-2/\n")
    assert images(folder) == ["sub-1_T1w.nii.gz"]


def test_accents_may_be_composed_or_not(root):
    table = "participant_id\tage\nsub-Zoé\t5\n"
    folder = root(*t1("Zoe\u0301"), participants=table)
    (scan,) = looked(folder).scans
    assert (scan.scan, scan.age) == ("sub-Zoe", "5")


@pytest.mark.parametrize("written", ["Control", "CONTROL", "con trol", "control\u00a0", "control\u200b"])
@pytest.mark.parametrize("groups", [GROUPS, {"healthy": ["control"]}, {"patients": ["patient"]}])
def test_groups_in_other_case_or_with_blanks_are_those_listed(root, written, groups):
    folder = root(*t1("001", "002", "010"))
    table = TABLE.replace("\tcontrol", f"\t{written}", 1)
    table = table if "healthy" in groups else table.replace("patient\n", "Patient \n")
    found = people(folder, table, groups=groups).scans
    assert [scan.subject for scan in found] == ["sub-001", "sub-010"]
    if written.strip("\u200b\u00a0") != "control" and "healthy" in groups:
        assert f"group {written} was taken as control" in found[0].note


@pytest.mark.parametrize("written", ["1", "1.0", "01", " 1"])
def test_numbers_of_groups_may_have_other_zeros(root, written):
    folder = root(*t1("001", "002", "010"))
    table = TABLE.replace("control", "0").replace("patient\n", f"{written}\n")
    assert [s.subject for s in people(folder, table, groups={"patients": ["1"]}).scans] == ["sub-001", "sub-010"]
    assert [s.subject for s in people(folder, table, groups={"healthy": ["0.0"]}).scans] == ["sub-001", "sub-010"]


def test_groups_that_no_list_names_are_noted(root):
    folder, table = root(*t1("001", "002", "010")), TABLE.replace("control", "contrl", 1)
    assert "has contrl (1): in no group of the settings" in people(folder, table).notes[0]
    assert (
        "has contrl (1), control (1): taken as healthy"
        in people(folder, table, groups={"patients": ["patient"]}).notes[0]
    )


def test_masks_whose_names_would_be_misread_are_not_taken(root):
    for number, name in enumerate(("{v2}", "a | b", "<a>")):
        folder = root(*t1(f"1{number}", "2"), *lesions("2"))
        (folder / f"sub-1{number}/anat/sub-1{number}_label-{name}_lesion_mask.nii.gz").touch()
    found = {scan.subject: scan for scan in looked(folder, healthy=False).scans}
    assert [bool(found[f"sub-{n}"].mask) for n in ("10", "11", "12", "2")] == [False, False, False, True]
    assert "must be renamed" in found["sub-11"].note


def test_scans_that_must_be_renamed_are_not_said_to_be_lacking(root):
    text = fault(root("sub-1/anat/sub-1_acq-{a}_T1w.nii.gz"))
    assert "must be renamed" in text
    assert "do    rename these files" in text


@pytest.mark.parametrize("written", ["?", "-", "#N/A", "unknown", "Null", "<NA>"])
def test_a_group_that_nobody_knows_is_not_the_group_of_all_others(root, written):
    folder = root(*t1("001", "002", "010"))
    found = people(folder, TABLE.replace("control", written, 1), groups={"patients": ["patient"]})
    assert [scan.subject for scan in found.scans] == ["sub-010"]
    assert "gives none" in found.failed[0].note
    listed = people(folder, TABLE.replace("control", written, 1), groups={"healthy": [written, "control"]})
    assert [scan.subject for scan in listed.scans] == ["sub-001", "sub-010"]


@pytest.mark.parametrize(
    "content",
    [
        "\n \n" + TABLE,
        "# from a data base, of 2020\n" + TABLE,
        "\ufeff\n" + TABLE,
        b"\xef\xbb\xbf" + TABLE.replace("F", "K\u00f6ln").encode("latin-1"),
    ],
)
def test_what_stands_above_the_names_of_columns_is_left_out(root, content):
    found = people(root(*t1("001", "002", "010")), content)
    assert [scan.subject for scan in found.scans] == ["sub-001", "sub-010"]


def test_an_empty_table_of_participants_is_told(root):
    folder = root(*t1("001"))
    assert "participants.tsv is empty" in people(folder, "\n\n", groups=None).notes


def test_a_column_that_is_read_may_not_be_there_twice(root):
    with pytest.raises(InputError, match="two columns sex"):
        people(root(*t1("001")), TABLE.replace("sex\t", "sex\tSex\t"))


@pytest.mark.parametrize(
    ("ends", "taken"),
    [
        (["desc-perilesion_mask", "desc-lesion_mask"], "desc-lesion_mask"),
        (["desc-nonlesion_mask"], ""),
        (["label-lesionfree_mask"], ""),
        (["desc-lesionfilled_mask"], ""),
        (["Lesion_Mask"], "Lesion_Mask"),
        (["label-LESION_MASK"], "label-LESION_MASK"),
        (["space-MNI152NLin6Asym_label-lesion_mask"], ""),
        (["space-Talairach_label-lesion_mask"], ""),
        (["space-T1w_label-lesion_mask"], "space-T1w_label-lesion_mask"),
        (["space-orig_label-lesion_mask"], "space-orig_label-lesion_mask"),
    ],
)
def test_masks_are_told_from_what_is_named_alike(root, ends, taken):
    folder = root(*t1("1", "2"), *(f"sub-1/anat/sub-1_{end}.nii.gz" for end in ends), *lesions("2"))
    assert masks(folder, healthy=False)[0] == (f"sub-1_{taken}.nii.gz" if taken else "")


def test_masks_of_a_template_space_are_taken_where_scan_or_setting_says_so(root):
    name = "sub-1_space-MNI152_label-lesion_mask.nii.gz"
    folder = root(*t1("1"), f"sub-1/anat/{name}")
    assert "space of a template, MNI152" in fault(folder, healthy=False)
    assert masks(folder, healthy=False, mask="*space-MNI*lesion_mask*") == [name]
    assert masks(folder, healthy=False, mask={"entities": {"space": "MNI152"}}) == [name]
    root("sub-1/anat/sub-1_space-MNI152_T1w.nii.gz")
    assert masks(folder, healthy=False, entities={"space": "MNI152"}) == [name]


def test_files_that_may_be_the_masks_are_named_where_none_fits(root):
    folder = root(
        *t1("1"), *(f"sub-1/anat/sub-1_{end}.nii.gz" for end in ("T1w_lesion", "brainmask", "perilesion_mask"))
    )
    text = fault(folder, healthy=False)
    assert "no file matches *lesion*mask.nii*, but beside a scan there are sub-1_T1w_lesion.nii.gz\n" in text
    root("sub-1/anat/sub-1_desc-autolesion_mask.nii.gz", "sub-1/anat/sub-1_desc-handlesion_mask.nii.gz")
    assert "is not clear" in fault(folder, healthy=False)


def test_endings_may_be_in_capitals(root):
    names = ["sub-1_T1w.NII.GZ", "sub-2_T1w.NII"]
    assert images(root(f"sub-1/anat/{names[0]}", f"sub-2/anat/{names[1]}")) == names


def test_a_label_that_no_file_name_can_hold_costs_its_subject(root):
    found = looked(root(*t1("1"), f"sub-{'x' * 200}/anat/a_T1w.nii.gz"))
    assert [scan.scan for scan in found.scans] == ["sub-1"]
    assert "204 letters" in found.failed[0].note
