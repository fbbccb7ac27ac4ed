"""A user's own template: how it is read, and that scans end on it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from brainuad.config.recipe import Preprocess, Quality
from brainuad.errors import ConfigError, InputError
from brainuad.formats import status, volume
from brainuad.formats.files import sha256
from brainuad.images.template import load, mni152
from brainuad.preprocess.quality.verdict import judged
from brainuad.preprocess.scan import preprocess
from brainuad.preprocess.scan_files import ScanFiles

AWAY = np.array([95.0, -140.0, 72.0])
"""Where MNI's origin lies in the foreign template, mm."""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """MNI152 at another place, its axes stored to the left and back, as SRI24's are."""
    template = mni152(2.0)
    affine = template.affine.copy()
    affine[:3, 3] += AWAY
    stored = nib.Nifti1Image(template.t1 * template.brain * 255, affine).as_reoriented(
        np.array([[0, -1], [1, -1], [2, 1]])
    )
    path = tmp_path_factory.mktemp("template") / "sri24.nii.gz"
    nib.save(stored, path)
    return path


def test_it_is_read_upright_with_its_own_place(foreign):
    own, bundled = load(str(foreign), 2.0), mni152(2.0)
    np.testing.assert_allclose(own.affine[:3, 3], bundled.affine[:3, 3] + AWAY, atol=1e-4)
    assert own.brain.shape == bundled.brain.shape
    assert (own.brain != bundled.brain).mean() < 0.02
    assert np.corrcoef(own.t1[bundled.brain], bundled.t1[bundled.brain])[0, 1] > 0.98
    assert 0.9 < np.quantile(own.t1[own.brain], 0.999) <= 1
    np.testing.assert_allclose(own.at((0, -18, 8)), np.array([0, -18, 8]) + AWAY, atol=2.5)
    np.testing.assert_array_equal(bundled.at((0, -18, 8)), [0, -18, 8])


def test_other_voxels_cover_the_same_ground(foreign):
    coarse = load(str(foreign), 4.0)
    fine = load(str(foreign), 2.0)
    np.testing.assert_allclose(np.linalg.norm(coarse.affine[:3, :3], axis=0), 4)
    assert coarse.brain.sum() * 8 == pytest.approx(fine.brain.sum(), rel=0.03)
    centres = [t.affine[:3, :3] @ np.argwhere(t.brain).mean(axis=0) + t.affine[:3, 3] for t in (coarse, fine)]
    np.testing.assert_allclose(*centres, atol=0.5)


def test_scans_end_on_its_grid(foreign, ready, tmp_path):
    settings = Preprocess(template=str(foreign))
    preprocess(ScanFiles("sub-07", "T1w", ready.path, {"mask": ready.mask}), settings, tmp_path / "out")
    ours, theirs = (volume.read(status.paths(folder)["image"]) for folder in (ready.out, tmp_path / "out"))
    np.testing.assert_allclose(theirs.affine[:3, 3], ours.affine[:3, 3] + AWAY, atol=1e-4)
    both = (ours.data != 0) & (theirs.data != 0)
    assert 2 * both.sum() / ((ours.data != 0).sum() + (theirs.data != 0).sum()) > 0.97
    assert np.corrcoef(ours.data[both], theirs.data[both])[0, 1] > 0.97
    state = status.read(tmp_path / "out" / "status.json")
    assert judged(state, Quality()).state != "failed"
    assert state.provenance["inputs"]["template"] == {"file": "sri24.nii.gz", "sha256": sha256(foreign)}
    assert state.provenance["settings"]["template"] == "sri24.nii.gz", "no path, which would name a machine"


def test_one_with_skull_needs_its_mask(tmp_path):
    template = mni152(4.0)
    head = np.full(template.t1.shape, 40.0, dtype=np.float32)
    head[template.brain] = 100
    volume.write(tmp_path / "mine.nii.gz", head, template.affine)
    with pytest.raises(InputError, match="no brain mask") as caught:
        load(str(tmp_path / "mine.nii.gz"), 4.0)
    assert "mine_mask.nii.gz" in caught.value.do
    volume.write(tmp_path / "other.nii.gz", head, template.affine)
    volume.write(tmp_path / "other_mask.nii.gz", template.brain, template.affine)
    own = load(str(tmp_path / "other.nii.gz"), 4.0)
    np.testing.assert_array_equal(own.brain, template.brain)
    assert not own.t1[~own.brain].any()


@pytest.mark.parametrize(
    ("name", "words"), [("sri24/spgr.nii", "nitrc.org"), ("fsaverage/mri/brain.mgz", "FreeSurfer"), ("x.nii", "path")]
)
def test_one_that_is_not_there_is_said_how_to_get(tmp_path, name, words):
    with pytest.raises(ConfigError, match="template is not there") as caught:
        load(str(tmp_path / name), 2.0)
    assert words in caught.value.do
    assert "mni152" in caught.value.do


def test_a_file_that_is_no_image(tmp_path):
    (tmp_path / "x.nii.gz").write_text("no")
    with pytest.raises(InputError, match="template cannot be read"):
        load(str(tmp_path / "x.nii.gz"), 2.0)


def test_a_flipped_bit_in_a_template_is_found(tmp_path):
    data = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii.gz")
    content = bytearray((tmp_path / "x.nii.gz").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "x.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match="template cannot be read") as caught:
        load(str(tmp_path / "x.nii.gz"), 2.0)
    assert "again" in str(caught.value.do)
