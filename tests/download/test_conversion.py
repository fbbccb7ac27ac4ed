"""What a set's own job makes of its scans, and when a set counts as there."""

from __future__ import annotations

import errno
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainuad.config.datasets import Known, OpenNeuro
from brainuad.download.known.conversion import convert
from brainuad.download.known.images import write_channel
from brainuad.download.known.known_set import known_set
from brainuad.download.sources.known import FETCHED, find_known_scans, record_fetched
from brainuad.download.transfer.remote import RemoteFile
from brainuad.errors import InputError, StorageError
from brainuad.formats import volume
from brainuad.formats.files import unwritable
from brainuad.formats.scans import Scan, changed


class Doubled:
    """A set whose scans are doubled; it counts how often."""

    def __init__(self):
        self.asked: list[str] = []

    def convert(self, scan: Scan, folder: Path) -> Scan:
        self.asked.append(scan.scan)
        path = folder / "image.nii.gz"
        found = volume.read(scan.image)
        volume.write(path, found.data * 2, found.affine)
        return changed(scan, image=str(path))


@pytest.fixture
def rows(tmp_path) -> list[Scan]:
    found = []
    for name in ("sub-1", "sub-2"):
        image = tmp_path / f"{name}.nii.gz"
        volume.write(image, np.random.default_rng(0).random((4, 4, 4), dtype=np.float32), np.eye(4))
        found.append(Scan(name, name, "d", image=str(image)))
    return found


def test_a_scan_is_converted_once_and_again_where_its_file_changed(rows, tmp_path):
    dataset, out = Doubled(), tmp_path / "out"
    made = convert("d", dataset, rows, out)
    assert [row.image for row in made] == [str(out / name / "image.nii.gz") for name in ("sub-1", "sub-2")]
    assert convert("d", dataset, rows, out) == made
    assert dataset.asked == ["sub-1", "sub-2"]
    volume.write(rows[1].image, np.random.default_rng(1).random((5, 4, 4), dtype=np.float32), np.eye(4))
    convert("d", dataset, rows, out)
    assert dataset.asked == ["sub-1", "sub-2", "sub-2"]
    assert volume.read(made[1].image).data.shape == (5, 4, 4)


@pytest.mark.parametrize(
    "fault",
    [InputError("it has no label", why="values 7"), EOFError("cut off"), ValueError("odd"), OverflowError("-1 voxels")],
)
def test_a_broken_scan_fails_and_the_others_go_on(rows, tmp_path, fault):
    dataset = Doubled()
    dataset.convert = lambda scan, folder: (
        _raise(fault) if scan.scan == "sub-1" else Doubled.convert(dataset, scan, folder)
    )
    first, second = convert("d", dataset, rows, tmp_path / "out")
    assert (first.state, first.image, second.state) == ("failed", "", "")
    assert first.note
    assert not (tmp_path / "out/sub-1").exists()


def test_a_full_disk_is_no_fault_of_a_scan(rows, tmp_path):
    dataset = Doubled()
    dataset.convert = lambda *_: _raise(unwritable(tmp_path, OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StorageError, match="cannot write"):
        convert("d", dataset, rows, tmp_path / "out")


def _raise(error: Exception) -> None:
    raise error


def openneuro(folder: Path, **more: object) -> OpenNeuro:
    given = {"source": "openneuro", "accession": "ds000001", "root": str(folder), "healthy": True}
    return OpenNeuro.model_validate(given | more)


def test_more_subjects_of_a_download_are_fetched(tmp_path):
    few, all_of_them = openneuro(tmp_path, subjects=["sub-01"]), openneuro(tmp_path)
    (tmp_path / "sub-01/anat").mkdir(parents=True)
    (tmp_path / "sub-01/anat/sub-01_T1w.nii.gz").touch()
    assert [row.scan for row in find_known_scans("x", all_of_them)] == ["sub-01"]  # brought by hand: taken as it is
    record_fetched(tmp_path, known_set("openneuro").remotes(few))
    assert [row.scan for row in find_known_scans("x", few)] == ["sub-01"]
    assert find_known_scans("x", all_of_them) is None
    assert find_known_scans("x", openneuro(tmp_path, subjects=["sub-01", "sub-02"])) is None
    record_fetched(tmp_path, known_set("openneuro").remotes(all_of_them))
    assert find_known_scans("x", all_of_them) is not None
    assert find_known_scans("x", few) is not None


def test_another_modality_of_a_download_is_fetched_and_an_archive_brought_by_hand_unpacked(tmp_path):
    t1, t2 = (Known(source="ixi", root=str(tmp_path), healthy=True, modality=kind) for kind in ("T1w", "T2w"))
    (tmp_path / "IXI-T1.tar").touch()
    assert find_known_scans("x", t1) is None
    (tmp_path / "IXI002-Guys-0828-T1.nii.gz").touch()
    assert len(find_known_scans("x", t1)) == 1
    record_fetched(tmp_path, known_set("ixi").remotes(t1))
    assert len(find_known_scans("x", t1)) == 1
    assert find_known_scans("x", t2) is None
    assert (tmp_path / FETCHED).is_file()
    assert isinstance(known_set("ixi").remotes(t2)[0], RemoteFile)


def test_a_flipped_bit_in_a_file_of_several_volumes_is_found(tmp_path):
    data = np.random.default_rng(0).random((6, 6, 6, 2)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "x.nii.gz")
    write_channel(tmp_path / "x.nii.gz", 1, 2, tmp_path / "y.nii.gz")
    np.testing.assert_array_equal(volume.read(tmp_path / "y.nii.gz").data, data[..., 1])
    content = bytearray((tmp_path / "x.nii.gz").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "x.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match="is broken"):
        write_channel(tmp_path / "x.nii.gz", 1, 2, tmp_path / "y.nii.gz")
