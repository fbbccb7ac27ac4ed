from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from brainuad.errors import BrainuadError, InputError
from brainuad.formats import array_cache, bundle, files, scans, transform, volume
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.bundle import Bundle
from brainuad.formats.scans import Scan
from brainuad.logs import job_log

AFFINE = np.diag([2.0, 2, 2, 1])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="broken off"), files.atomic(path) as part:
        part.write_text("half")
        raise ValueError("broken off")
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_gives_one_clear_message(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(volume.nib, "save", full)
    with pytest.raises(InputError) as caught:
        volume.write(tmp_path / "map.nii.gz", np.zeros((3, 3, 3), np.float32), AFFINE)
    assert "cannot write map.nii.gz" in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "free space" in str(caught.value)
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_two_writers_of_a_folder_are_told_of_each_other(tmp_path, monkeypatch):
    def other_writer(folder):
        (folder / "theirs").touch()

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(
        files.shutil, "rmtree", lambda folder, **_: None if ".part-" in folder.name else other_writer(folder)
    )
    with pytest.raises(InputError, match="another process writes there"), files.atomic_folder(tmp_path / "out"):
        pass


def test_a_folder_is_complete_or_absent(tmp_path):
    with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "out") as part:
        (part / "x").write_text("1")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    for content in ("1", "2"):
        with files.atomic_folder(tmp_path / "out") as part:
            (part / "x").write_text(content)
    assert (tmp_path / "out/x").read_text() == "2"


def test_volumes_are_reoriented_to_ras_and_read_as_written(tmp_path):
    import nibabel as nib

    data = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    volume.write(tmp_path / "a.nii.gz", data, AFFINE)
    back = volume.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(back.data, data)
    flipped = np.diag([-2.0, -2, 2, 1])
    flipped[:3, 3] = [6, 8, 0]
    nib.save(nib.Nifti1Image(data[::-1, ::-1], flipped), tmp_path / "lps.nii.gz")
    turned = volume.read(tmp_path / "lps.nii.gz")
    np.testing.assert_array_equal(turned.data, data)
    np.testing.assert_allclose(turned.affine, AFFINE)


def test_equal_volumes_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        volume.write(tmp_path / f"{name}.nii.gz", np.arange(27.0).reshape(3, 3, 3), AFFINE)
    assert files.sha256(tmp_path / "a.nii.gz") == files.sha256(tmp_path / "b.nii.gz")


def test_array_caches_return_views_of_the_written_scans(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    roles = ["train", "train", "validation", "test"]
    rows = [Scan(f"sub-{i}", f"sub-{i}", "x", role=role) for i, role in enumerate(roles)]
    entries = [Entry(row, image, image > 0, image > 1) for row, image in zip(rows, images, strict=True)]
    array_cache.write(tmp_path / "s", entries, CacheHeader(AFFINE, {"method": "none"}, {"landmarks": np.arange(3.0)}))
    back = array_cache.read(tmp_path / "s")
    np.testing.assert_array_equal(back.images, images)
    np.testing.assert_array_equal(array_cache.read_lesions(tmp_path / "s"), images > 1)
    np.testing.assert_array_equal(back.scaling["landmarks"], [0, 1, 2])
    assert [scan.scan for scan in back.select("train").scans] == ["sub-0", "sub-1"]
    assert isinstance(back.select("train").images, np.memmap)
    np.testing.assert_array_equal(back.select("train", "test").images, images[[0, 1, 3]])


def test_an_array_cache_has_ignore_masks_where_any_scan_has_one(tmp_path):
    images = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    rows = [Scan(f"sub-{i}", f"sub-{i}", "x", role="test") for i in range(2)]
    for name, masks in (("none", (None, None)), ("some", (None, images[1] > 20))):
        entries = [
            Entry(row, image, image >= 0, None, mask) for row, image, mask in zip(rows, images, masks, strict=True)
        ]
        array_cache.write(tmp_path / name, entries, CacheHeader(AFFINE))
    assert array_cache.read_ignored(tmp_path / "none") is None
    ignored = array_cache.read_ignored(tmp_path / "some")
    np.testing.assert_array_equal(ignored, images > 20)


def test_an_array_cache_may_be_empty(tmp_path):
    array_cache.write(tmp_path / "none", [], CacheHeader(AFFINE, shape=(3, 4, 5)))
    back = array_cache.read(tmp_path / "none")
    assert (back.scans, back.images.shape) == ([], (0, 3, 4, 5))
    assert array_cache.read_lesions(tmp_path / "none").shape == (0, 3, 4, 5)
    assert back.select("test").scans == []


def test_bundles_are_read_as_written_and_altered_ones_are_refused(tmp_path):
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    bundle.write(tmp_path, Bundle(arrays, {"seed": 1}))
    back = bundle.read(tmp_path)
    np.testing.assert_array_equal(back.arrays["w"], arrays["w"])
    weights = tmp_path / bundle.ARRAYS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(InputError, match="the weights were altered"):
        bundle.read(tmp_path)
    about = json.loads((tmp_path / bundle.ABOUT).read_text())
    (tmp_path / bundle.ABOUT).write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(InputError, match="of another version"):
        bundle.read(tmp_path)


def test_tables_refuse_double_rows_and_two_splits(tmp_path):
    one = Scan("sub-1", "sub-1", "x", role="train")
    with pytest.raises(InputError, match="sub-1 is listed twice in x"):
        scans.write(tmp_path / "t.tsv", [one, one])
    other = Scan("sub-1_ses-2", "sub-1", "x", role="test")
    with pytest.raises(InputError, match="sub-1 of x is in two splits"):
        scans.write(tmp_path / "t.tsv", [one, other])
    assert not list(tmp_path.iterdir())
    (tmp_path / "t.tsv").write_text("scan\tsubject\tdataset\tcolour\na\ta\tx\tred\n")
    with pytest.raises(InputError, match="unknown columns"):
        scans.read(tmp_path / "t.tsv")


def test_transforms_keep_their_direction(tmp_path):
    matrix = np.eye(4)
    matrix[:3, 3] = [1, 2, 3]
    transform.write(tmp_path / "t.json", transform.Affine(matrix))
    back = transform.read(tmp_path / "t.json")
    np.testing.assert_array_equal(back.matrix, matrix)
    np.testing.assert_allclose(back.inverse().matrix @ matrix, np.eye(4))
    files.write_json(tmp_path / "t.json", {"matrix": [[0] * 4] * 4})
    with pytest.raises(InputError, match="no invertible 4x4 matrix"):
        transform.read(tmp_path / "t.json")


def test_a_job_reports_known_faults_in_words_and_others_with_their_place(tmp_path, capsys):
    log = tmp_path / "logs/job.log"
    with pytest.raises(SystemExit), job_log(log):
        raise InputError("the mask is empty", file="m.nii.gz", why="0 voxels", do="draw it")
    expected = "error: the mask is empty\n  file  m.nii.gz\n  why   0 voxels\n  do    draw it\n"
    assert log.read_text() == expected
    assert capsys.readouterr().err == expected
    with pytest.raises(SystemExit), job_log(log):
        raise KeyError("x")
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.EDQUOT, "[Qq]uota exceeded"),
        (errno.EROFS, "Read-only file system"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_fault_of_the_disk_is_told_in_a_sentence_wherever_it_occurs(number, says, tmp_path, capsys):
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit), job_log(log):
        raise OSError(number, os.strerror(number), "a.png")
    for text in (log.read_text(), capsys.readouterr().err):
        assert re.search(rf"error: the disk failed\n  file  a\.png\n  why   .*{says}", text)
        assert "Traceback" not in text


def test_a_log_that_cannot_be_written_stops_no_job_and_hides_no_error(tmp_path, capsys):
    with pytest.raises(SystemExit), job_log("/dev/full"):
        logging.getLogger("brainuad.job").info("starts")
        raise InputError("the mask is empty")
    err = capsys.readouterr().err
    assert "error: the mask is empty" in err
    assert err.count("the log /dev/full is not complete: No space left on device") == 1
    assert "Traceback" not in err
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit), job_log(tmp_path / "file/job.log"):
        raise AssertionError
    assert "error: cannot write the log" in capsys.readouterr().err


def test_errors_survive_a_process_boundary():
    import pickle

    error = InputError("a", file="f", why="w", do="d")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert issubclass(InputError, BrainuadError)


def test_the_command_line_fails_with_the_message(tmp_path):
    command = [sys.executable, "-m", "brainuad.cli", "check", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no file")


def test_the_command_line_ends_quietly_where_its_reader_is_gone():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "brainuad.cli", "datasets"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")
