"""Maps and masks on a scan's own grid: its very affine, nobody else's scan, and the files that the study made."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sealed import sealed

from brainuad.cli import main
from brainuad.errors import InputError
from brainuad.formats import files, maps, names, postprocessed, scans, status, thresholds, transform, volume
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan
from brainuad.formats.thresholds import FoundThreshold
from brainuad.formats.transform import Affine
from brainuad.postprocess.native import native, to_own_grid

GRID, AFFINE = (30, 32, 28), np.diag([3.0, 3, 3, 1])
AFFINE[:3, 3] = (-45, -48, -42)
MOVED = np.eye(4)
MOVED[:3, 3] = (5, -3, 2)  # mm, template to scan


@pytest.fixture
def study(tmp_path):
    """One test scan, oblique and stored from left to right and top to bottom, its maps and its masks."""
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", [10, 5, -8], degrees=True).as_matrix() @ np.diag([-1.5, 1.5, -3])
    turned[:3, 3] = (50, -45, 40)
    image = nib.Nifti1Image(np.random.default_rng(0).normal(100, 9, (64, 60, 30)).astype(np.int16), turned)
    image.set_qform(turned, 1)
    image.set_sform(turned, 1)
    image.header["descrip"] = b"Jane Doe"
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(image, path)
    folder = tmp_path / "pre" / "sub-01"
    told = {"T1w": {"file": path.name, "sha256": files.sha256(path)}}
    left = {"transform": names.transform("sub-01", Naming())}
    status.write(
        folder / status.NAME, status.Status(scan="sub-01", state="ok", files=left, provenance={"inputs": told})
    )
    transform.write(status.paths(folder)["transform"], Affine(MOVED))
    mark = np.zeros(GRID, bool)
    mark[12:18, 14:20, 11:17] = True
    volume.write(maps.anomaly_path(tmp_path / "maps", "sub-01"), mark * np.float32(0.7), AFFINE)
    volume.write(maps.mask_path(tmp_path / "masks", "sub-01", "fixed"), mark, AFFINE)
    postprocessed.write(tmp_path / "masks", changes_maps=False)
    thresholds.write(tmp_path / "masks", {"fixed": FoundThreshold(0.5, "x"), "val_dice": FoundThreshold(None, "x")})
    for folder in ("maps", "masks"):
        sealed(tmp_path / folder)
    rows = [Scan("sub-01", "sub-01", "x", str(path), role="test", state="included")]
    rows += [Scan("sub-02", "sub-02", "x", role="test", state="excluded"), Scan("sub-03", "sub-03", "x", role="train")]
    scans.write(tmp_path / "x.tsv", rows)
    return tmp_path


def test_test_scans_get_their_maps_and_masks(study):
    native(study / "maps", study / "masks", study / "x.tsv", study / "pre", study / "out")
    map_, mask_ = "sub-01_anomalymap.nii.gz", "sub-01_label-lesion_desc-fixed_mask.nii.gz"
    place = study / "out" / "sub-01" / "anat"
    assert sorted(p.name for p in place.glob("*.nii.gz")) == [map_, mask_]
    own = nib.load(study / "sub-01_T1w.nii.gz")
    for name, kind in ((map_, np.float32), (mask_, np.uint8)):
        made = nib.load(place / name)
        assert made.shape == own.shape
        np.testing.assert_array_equal(made.affine, own.affine)
        for code in ("sform_code", "qform_code", "xyzt_units"):
            assert made.header[code] == own.header[code]
        assert made.get_data_dtype() == kind
        assert b"Jane" not in bytes(made.header["descrip"])
    mask = np.asarray(nib.load(place / mask_).dataobj) > 0
    centre = own.affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + own.affine[:3, 3]
    wanted = MOVED @ AFFINE @ [14.5, 16.5, 13.5, 1]
    np.testing.assert_allclose(centre, wanted[:3], atol=0.3)
    ml = mask.sum() * abs(np.linalg.det(own.affine[:3, :3])) / 1000
    assert ml == pytest.approx(6**3 * 27 / 1000, rel=0.05)


def test_another_persons_scan_is_refused(study):
    other = study / "sub-09_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5), np.int16), AFFINE), other)
    with pytest.raises(InputError, match=r"sub-09_T1w\.nii\.gz is not what was preprocessed") as caught:
        to_own_grid(maps.anomaly_path(study / "maps", "sub-01"), study / "pre" / "sub-01", other, study / "o.nii.gz")
    assert "sub-01_T1w.nii.gz" in (caught.value.why or "")


def test_the_command_writes_beside_nothing_of_its_own_name(study, capsys):
    map_, scan = maps.anomaly_path(study / "maps", "sub-01"), str(study / "sub-01_T1w.nii.gz")
    command = ["native", str(map_), "--scan", str(study / "pre/sub-01"), "--like", scan, "--out"]
    assert main([*command, str(study / "home")]) == 0
    assert nib.load(study / "home/sub-01_anomalymap.nii.gz").shape == (64, 60, 30)
    map_ = map_.rename(study / "sub-01_anomalymap.nii.gz")  # a name without a space is kept
    command[1] = str(map_)
    before = map_.read_bytes()
    assert main([*command, str(study)]) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert map_.read_bytes() == before
