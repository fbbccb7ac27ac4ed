from __future__ import annotations

import pytest

from brainuad.config.datasets import Folder
from brainuad.download.folder import list_scans, without_scan
from brainuad.errors import InputError


@pytest.fixture
def root(tmp_path):
    def make(*files: str):
        for file in files:
            path = tmp_path / "set" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "set"

    return make


def listed(root, **settings):
    return list_scans("x", Folder(source="folder", root=str(root), healthy=True, **settings))


def test_scans_with_and_without_sessions(root):
    folder = root("sub-02/anat/sub-02_T1w.nii.gz", "sub-01/ses-b/anat/s_T1w.nii.gz", "sub-01/ses-a/anat/s_T1w.nii")
    scans = listed(folder)
    assert [scan.scan for scan in scans] == ["sub-01_ses-a", "sub-01_ses-b", "sub-02"]
    assert [scan.subject for scan in scans] == ["sub-01", "sub-01", "sub-02"]


def test_the_plainest_file_is_taken_and_noted(root):
    folder = root(
        "sub-1/anat/sub-1_ce-gd_T1w.nii.gz", "sub-1/anat/sub-1_res-2mm_T1w.nii.gz", "sub-1/anat/sub-1_T1w.nii.gz"
    )
    (scan,) = listed(folder)
    assert scan.image.endswith("/sub-1_T1w.nii.gz")
    assert "of 3 files" in scan.note


def test_masks_participants_and_exclusions(root):
    folder = root(
        "sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_desc-lesion_mask.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz"
    )
    (folder / "participants.tsv").write_text("participant_id\tage\tsex\nsub-1\t41\tF\nsub-2\tn/a\tM\n")
    one, two = listed(folder)
    assert one.mask.endswith("lesion_mask.nii.gz")
    assert (one.age, one.sex) == ("41", "F")
    assert (two.mask, two.age, two.sex) == ("", "", "M")
    assert [scan.subject for scan in listed(folder, exclude=["sub-1"])] == ["sub-2"]


def test_a_table_one_folder_up_may_name_the_set(root):
    folder = root("sub-1/anat/sub-1_T1w.nii.gz")
    (folder.parent / "participants.tsv").write_text(
        "participant\tdataset\tage\nset/sub-1\tset\t30\nother/sub-1\tother\t9\n"
    )
    assert listed(folder)[0].age == "30"


def test_ct_lies_in_its_own_folder(root):
    folder = root("sub-1/ct/sub-1_ct.nii.gz")
    assert listed(folder, modality="ct")[0].scan == "sub-1"


def test_folders_that_cannot_serve_are_refused(root, tmp_path):
    with pytest.raises(InputError, match="cannot read the folder of x"):
        listed(tmp_path / "nowhere")
    folder = root("sub-1/anat/sub-1_T2w.nii.gz")
    with pytest.raises(InputError, match="x holds no scans") as caught:
        listed(folder)
    assert "_T1w.nii.gz" in str(caught.value)
    with pytest.raises(InputError, match="sub-9 is excluded but not in x"):
        listed(folder, modality="T2w", exclude=["sub-9"])


def test_links_that_lead_nowhere_are_no_scans(root):
    folder = root("sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/other.txt")
    (folder / "sub-2/anat/sub-2_T1w.nii.gz").symlink_to(folder / "nowhere.nii.gz")
    settings = Folder(source="folder", root=str(folder), healthy=True)
    found = list_scans("x", settings)
    assert [scan.scan for scan in found] == ["sub-1"]
    (missing,) = without_scan("x", settings, found)
    assert (missing.scan, missing.state, missing.note) == ("sub-2", "failed", "no *_T1w.nii.gz in anat/")


def test_of_several_masks_the_one_named_like_the_scan_is_taken(root):
    names = ("acq-a_FLAIR_lesion_mask.nii.gz", "sub-1_T1w_lesion_mask.nii.gz", "sub-1_T1w.nii.gz")
    (scan,) = listed(root(*(f"sub-1/anat/{name}" for name in names)))
    assert scan.mask.endswith("/sub-1_T1w_lesion_mask.nii.gz")
    assert "of 2 files" in scan.note
