from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainuad.download.sources.phantom_files import PhantomSet, make_dataset
from brainuad.errors import ConfigError
from brainuad.formats import transform, volume

GRID = 4.0  # mm


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_scans_masks_and_table_lie_where_bids_wants_them(tmp_path):
    make_dataset(tmp_path, PhantomSet(2, 0, "T1w", "stroke", GRID, "les"))
    names = {name for name in files(tmp_path) if "/." not in name}
    anat = [f"sub-les00{n}/anat/sub-les00{n}_{end}" for n in (1, 2) for end in ENDS]
    assert names == {"participants.tsv", *anat}
    rows = (tmp_path / "participants.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["participant_id", "group", "lesion_type"]
    assert rows[1].split("\t")[:2] == ["sub-les001", "lesion"]
    scan = volume.read(tmp_path / anat[0])
    mask = volume.read_mask(tmp_path / anat[1])
    assert volume.same_grid(scan, mask)
    assert mask.data.any()
    assert transform.read(tmp_path / anat[2]).matrix.shape == (4, 4)


ENDS = ("T1w.nii.gz", "desc-lesion_mask.nii.gz", "desc-truth_affine.json")


def test_healthy_ct_has_its_own_folder_and_no_mask(tmp_path):
    make_dataset(tmp_path, PhantomSet(1, 0, "CT", "none", GRID))
    assert volume.read(tmp_path / "sub-001/ct/sub-001_ct.nii.gz").data.min() < -900
    assert not list(tmp_path.rglob("*mask*"))
    assert "sub-001\thealthy\tnone" in (tmp_path / "participants.tsv").read_text()


def test_finished_subjects_are_kept_and_changed_or_lost_ones_made_again(tmp_path):
    make_dataset(tmp_path, PhantomSet(2, 0, "T1w", "none", GRID))
    before = files(tmp_path)
    first, second = (tmp_path / f"sub-00{n}/anat/sub-00{n}_T1w.nii.gz" for n in (1, 2))
    second.unlink()
    (tmp_path / "sub-002/.phantom.json").unlink()  # as after an interruption
    stamp = first.stat().st_mtime_ns
    make_dataset(tmp_path, PhantomSet(2, 0, "T1w", "none", GRID))
    assert first.stat().st_mtime_ns == stamp
    assert files(tmp_path) == before
    make_dataset(tmp_path, PhantomSet(2, 1, "T1w", "none", GRID))
    assert first.read_bytes() != before["sub-001/anat/sub-001_T1w.nii.gz"]


def test_healthy_and_lesioned_sets_of_one_seed_share_no_head(tmp_path):
    for lesions in ("none", "ms"):
        make_dataset(tmp_path / lesions, PhantomSet(1, 0, "T1w", lesions, GRID))
    path = "sub-001/anat/sub-001_desc-truth_affine.json"
    affines = [transform.read(tmp_path / lesions / path).matrix for lesions in ("none", "ms")]
    assert not np.allclose(*affines)


def test_a_label_that_bids_refuses_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="my_set"):
        make_dataset(tmp_path, PhantomSet(1, 0, "T1w", "none", GRID, "my_set"))
