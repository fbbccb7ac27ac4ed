from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from brainuad.config.load import build_study
from brainuad.config.reading import Reading
from brainuad.errors import ConfigError, InputError
from brainuad.formats import raw, scans
from brainuad.formats.scans import Scan
from brainuad.normalize.leaks import refuse_shared_scans
from brainuad.normalize.subjects_job import SubjectsInputs, SubjectsJob, SubjectsOutputs
from brainuad.plan import Plan

DEMO = Path(__file__).parents[2] / "config.yaml"
STUDY = {"study": "mine", "recipe": "mri_2mm", "models": {"zscore_atlas": None}}
SHARES = {"train": 0.5, "validation": 0.25, "test": 0.25}
AFFINE = np.diag([2.0, 2, 2, 1])


def write(path: Path, number: int, level: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.random.default_rng(number).integers(0, 99, (5, 6, 7), np.int16), AFFINE)
    path.write_bytes(gzip.compress(image.to_bytes(), level))
    return path


def scan_of(root: Path, name: str) -> Path:
    return root / f"sub-{name}/anat/sub-{name}_T1w.nii.gz"


@pytest.fixture
def ixi(tmp_path):
    for number in range(8):
        write(scan_of(tmp_path / "ixi", f"{number:02d}"), number)
    return tmp_path / "ixi"


def plan(ixi: Path, **other: object) -> Plan:
    sets = {"ixi": {"source": "bids", "root": str(ixi), "healthy": True, "split": SHARES}}
    sets["again"] = {"source": "bids", "healthy": True, **other}
    return Plan(build_study(STUDY | {"datasets": sets}, DEMO))


def test_a_data_set_that_is_listed_again_as_a_test_set_is_refused(ixi, tmp_path):
    with pytest.raises(ConfigError, match="ixi and again share people") as caught:
        plan(ixi, root=str(ixi))
    assert "training" in (caught.value.why or "")
    assert "exclude" in (caught.value.do or "")
    (tmp_path / "linked").symlink_to(ixi)
    with pytest.raises(ConfigError, match="share people"):
        plan(ixi, root=str(tmp_path / "linked"))
    own = {"source": "phantom", "healthy": True, "subjects": 8, "split": SHARES}
    sets = {"one": own, "two": {**own, "subjects": 20, "split": {"test": 1}}}
    study = STUDY | {"datasets": sets}
    with pytest.raises(ConfigError, match="one and two share people"):
        Plan(build_study(study, DEMO))
    sets["two"]["seed"] = 1
    Plan(build_study(study, DEMO)).refuse_leaks()


@pytest.mark.parametrize("how", ["link", "copy", "level"])
def test_linked_and_copied_files_of_other_subjects_are_refused_before_the_first_job(how, ixi, tmp_path):
    for number in range(8):
        target = scan_of(tmp_path / "other", f"X{number}")
        if how == "link":
            target.parent.mkdir(parents=True)
            target.symlink_to(scan_of(ixi, f"{number:02d}"))
        else:
            write(target, number, level=6 if how == "copy" else 1)
    with pytest.raises(InputError, match="in two roles") as caught:
        plan(ixi, root=str(tmp_path / "other")).refuse_leaks()
    for word in ("of ixi", "sub-X", "of again", "test scan", "the same content"):
        assert word in (caught.value.why or "")


@pytest.mark.parametrize("copy_of", ["T1w", "FLAIR"])
def test_a_further_sequence_that_is_a_copy_is_refused_before_the_first_job(copy_of, ixi, tmp_path):
    for number in range(8):
        write(ixi / f"sub-{number:02d}/anat/sub-{number:02d}_FLAIR.nii.gz", 20 + number)
        write(scan_of(tmp_path / "other", f"X{number}"), 40 + number)
        copied = number + 20 * (copy_of == "FLAIR")
        write(tmp_path / f"other/sub-X{number}/anat/sub-X{number}_FLAIR.nii.gz", copied, level=1)
    sets = {"ixi": {"source": "bids", "root": str(ixi), "healthy": True, "split": SHARES}}
    sets["again"] = {"source": "bids", "root": str(tmp_path / "other"), "healthy": True}
    study = STUDY | {"datasets": sets, "modalities": ["T1w", "FLAIR"]}
    with pytest.raises(InputError, match="in two roles") as caught:
        Plan(build_study(study, DEMO)).refuse_leaks()
    assert "FLAIR of sub-X" in (caught.value.why or "")
    assert "_FLAIR" in str(caught.value.file)


def test_equal_labels_and_equal_lengths_of_unrelated_data_sets_are_no_leak(ixi, tmp_path):
    for number in range(8):
        write(scan_of(tmp_path / "other", f"{number:02d}"), 100 + number)
    plan(ixi, root=str(tmp_path / "other")).refuse_leaks()


def rows(*roles: str, contents: str, **more: str) -> list[Scan]:
    return [
        Scan(f"sub-{i}", f"sub-{i}", f"set{i}", role=role, state="ok", content=content, **more)  # type: ignore[arg-type]
        for i, (role, content) in enumerate(zip(roles, contents, strict=True))
    ]


@pytest.mark.parametrize("pair", [("train", "test"), ("train", "validation"), ("validation", "test")])
def test_equal_content_in_two_roles_ends_the_study_with_both_names(pair, tmp_path):
    leak = rows("train", *pair, contents="abb")
    for row in leak:
        scans.write(tmp_path / f"{row.dataset}.tsv", [row])
    inputs = SubjectsInputs(tables=[tmp_path / f"{row.dataset}.tsv" for row in leak])
    job = SubjectsJob(inputs=inputs, outputs=SubjectsOutputs(table=tmp_path / "subjects.tsv"))
    with pytest.raises(InputError, match="in two roles") as caught:
        job.run()
    assert all(word in str(caught.value) for word in ("sub-1 of set1", "sub-2 of set2", "voxel values", "exclude"))
    assert not (tmp_path / "subjects.tsv").exists()


def test_what_is_left_out_or_unknown_or_of_one_role_is_no_leak(caplog):
    refuse_shared_scans(rows("train", "test", contents="ab"))
    refuse_shared_scans([scans.changed(row, content="") for row in rows("train", "test", contents="aa")])
    refuse_shared_scans([scans.changed(row, state="excluded") for row in rows("train", "test", contents="aa")])
    refuse_shared_scans(rows("", "test", contents="aa"))
    assert not caplog.records
    refuse_shared_scans(rows("test", "test", contents="aa"))
    assert "counts twice" in caplog.text
    caplog.clear()
    several = [scans.changed(row, dataset=f"set{i // 2}") for i, row in enumerate(rows(*["test"] * 4, contents="abab"))]
    refuse_shared_scans(several)
    (told,) = caplog.messages
    assert "1 other scan of set1" in told


@pytest.mark.parametrize("missing", ["", "FLAIR"])
def test_further_sequences_are_compared_where_they_are_used(missing, tmp_path, caplog):
    """The third session has the FLAIR of the first, which it may not use, and the T2w of the second."""
    listed = rows("train", "test", "test", contents="abc")
    contents = ["FLAIR=k | T2w=l", "FLAIR=m | T2w=n", "FLAIR=k | T2w=n"]
    listed = [scans.changed(row, sequence_contents=each) for row, each in zip(listed, contents, strict=True)]
    listed[2] = scans.changed(listed[2], missing=missing)
    scans.write(tmp_path / "subjects.tsv", listed)
    if missing:
        refuse_shared_scans(scans.read(tmp_path / "subjects.tsv"))
        assert "T2w of sub-2 of set2 has the same voxel values as T2w of sub-1 of set1" in caplog.text
        return
    with pytest.raises(InputError, match="in two roles") as caught:
        refuse_shared_scans(scans.read(tmp_path / "subjects.tsv"))
    for word in ("FLAIR of sub-0 of set0 is a training scan", "FLAIR of sub-2 of set2 is a test scan"):
        assert word in (caught.value.why or "")


def test_the_hash_of_a_scan_is_that_of_its_voxels(tmp_path):
    data = np.random.default_rng(0).integers(0, 99, (40, 42, 44)).astype(np.int16)
    flipped = np.diag([-2.0, 2, 2, 1])
    flipped[0, 3] = 78
    saved = {
        "a.nii.gz": nibabel.Nifti1Image(data, AFFINE),
        "b.nii": nibabel.Nifti1Image(data.astype(np.float64), AFFINE),
        "c.nii.gz": nibabel.Nifti1Image(data[::-1], flipped),
    }
    for name, image in saved.items():
        nibabel.save(image, tmp_path / name)
    nibabel.save(nibabel.Nifti1Image(data + (data == data.max()), AFFINE), tmp_path / "other.nii.gz")
    contents = [raw.read_raw(tmp_path / name, Reading()).content for name in saved]
    assert len(set(contents)) == 1
    assert raw.read_raw(tmp_path / "other.nii.gz", Reading()).content not in contents
