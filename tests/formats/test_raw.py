"""Scans in odd files are read alike, converted with a note, or refused in a sentence."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import time
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tests.formats import odd_files
from tests.formats.odd_files import AFFINE, FOREIGN, HEAD, HEADERS, PACKED, PLAIN, STORAGES, Case, flipped, image

from brainuad.config.reading import Reading
from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.formats.raw import read_raw, read_unfilled

CASES = STORAGES | HEADERS | FOREIGN


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CASES)
def test_each_odd_file_is_read_with_the_right_notes_or_refused_with_the_reason(name, tmp_path):
    case: Case = CASES[name]
    path = case.write(tmp_path)
    if case.answer == "refused":
        with pytest.raises(InputError) as caught:
            read_raw(path, Reading())
        said = f"{caught.value.what} {caught.value.why} {caught.value.do}"
        assert caught.value.file == path
        assert caught.value.do
        assert path.name in caught.value.what
    else:
        found = read_raw(path, Reading())
        said = " ".join(found.notes)
        assert found.volume.data.dtype == np.float32
        np.testing.assert_array_equal(found.volume.data, HEAD if case.values is None else case.values)
        assert len(found.notes) == (case.answer == "converted")
    for word in case.words:
        assert word in said


@pytest.mark.parametrize("name", STORAGES)
def test_all_ways_to_store_a_scan_give_one_affine(name, tmp_path):
    found = read_raw(STORAGES[name].write(tmp_path), Reading()).volume
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize("name", ["metres", "micrometres", "mm that are called metres", "negative pixdim", "qfac 0"])
def test_mended_headers_place_the_scan_where_it_is(name, tmp_path):
    path = HEADERS[name].write(tmp_path)
    np.testing.assert_allclose(read_raw(path, Reading()).volume.affine, AFFINE, atol=1e-3)
    shape, affine = volume.read_grid(path)
    assert shape == odd_files.SHAPE
    np.testing.assert_allclose(affine, AFFINE, atol=1e-3)
    volume.write_like(tmp_path / "map.nii.gz", HEAD / 1000, like=path)
    written = read_raw(tmp_path / "map.nii.gz", Reading()).volume
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-3)
    np.testing.assert_allclose(written.data, HEAD / 1000, rtol=1e-6)


@pytest.mark.parametrize("read", ["scan", "mask of a scan", "map", "mask"])
def test_no_flipped_bit_is_read(read, tmp_path):
    path = tmp_path / "scan.nii.gz"
    readers = {
        "scan": lambda: read_raw(path, Reading()),
        "mask of a scan": lambda: read_unfilled(path, Reading()),
        "map": lambda: volume.read(path),
        "mask": lambda: volume.read_mask(path),
    }
    for bit in np.random.default_rng(0).integers(80, 8 * len(PACKED), 60):  # after the header of gzip
        content = flipped(PACKED, int(bit))
        with suppress(OSError, EOFError, zlib.error):
            if gzip.decompress(content) == PLAIN:  # a code that nothing uses
                continue
        path.write_bytes(content)
        with pytest.raises(InputError, match="is broken") as caught:
            readers[read]()
        assert "again" in str(caught.value.do)


def test_both_affines_are_told_for_the_voxels_that_are_given(tmp_path):
    stored = odd_files.LEFT_HANDED
    made = nib.Nifti1Image(stored, None)
    made.set_sform(odd_files.turned() @ odd_files.PERMUTED, 2)
    made.set_qform(AFFINE @ odd_files.PERMUTED, 1)
    nib.save(made, tmp_path / "scan.nii")
    found = read_raw(tmp_path / "scan.nii", Reading())
    assert [(name, world.code) for name, world in found.worlds.items()] == [("sform", 2), ("qform", 1)]
    np.testing.assert_allclose(found.worlds["qform"].matrix, AFFINE, atol=1e-4)
    np.testing.assert_allclose(found.worlds["sform"].matrix, found.volume.affine, atol=1e-9)


def test_the_settings_of_a_data_set_choose_magnitude_volume_and_offset(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(image((HEAD * odd_files.PHASE).astype(np.complex64)))
    found = read_raw(path, Reading(complex="magnitude"))
    np.testing.assert_allclose(found.volume.data, HEAD, rtol=1e-5)
    assert "magnitude" in found.notes[0]
    path.write_bytes(image(np.stack([HEAD, HEAD + 1, HEAD + 2], -1)))
    for index in range(3):
        found = read_raw(path, Reading(volume=index))
        np.testing.assert_array_equal(found.volume.data, HEAD + index)
        assert f"volume {index} of 3" in found.notes[0]
    with pytest.raises(InputError, match="has no volume 3") as caught:
        read_raw(path, Reading(volume=3))
    assert "0 to 2" in str(caught.value.why)
    path.write_bytes(PACKED)
    with pytest.raises(InputError, match="has no volume 3"):
        read_raw(path, Reading(volume=3))
    np.testing.assert_array_equal(read_unfilled(path, Reading(volume=3)).volume.data, HEAD)
    found = read_raw(path, Reading(intensity_offset=-1024))
    np.testing.assert_array_equal(found.volume.data, HEAD - 1024)
    assert "-1024" in found.notes[0]


def test_pairs_of_header_and_voxels(tmp_path):
    nib.save(nib.Nifti1Pair(HEAD, AFFINE), tmp_path / "scan.img")
    for name in ("scan.img", "scan.hdr"):
        np.testing.assert_array_equal(read_raw(tmp_path / name, Reading()).volume.data, HEAD)
    (tmp_path / "scan.img").write_bytes((tmp_path / "scan.img").read_bytes()[:-1])
    with pytest.raises(InputError, match="is broken"):
        read_raw(tmp_path / "scan.hdr", Reading())
    (tmp_path / "scan.img").unlink()
    with pytest.raises(InputError, match=r"scan.img does not exist"):
        read_raw(tmp_path / "scan.hdr", Reading())
    nib.save(nib.AnalyzeImage(HEAD, AFFINE), tmp_path / "old.img")
    with pytest.raises(InputError) as caught:
        read_raw(tmp_path / "old.img", Reading())
    assert "left and right" in str(caught.value.why)


def _not_readable(path: Path) -> None:
    path.write_bytes(PACKED)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")


def _sparse(path: Path) -> None:
    path.write_bytes(PLAIN)
    os.truncate(path, 30 * 10**9)


SPECIAL = {
    "a folder": (lambda path: path.mkdir(), "folder"),
    "a pipe": (os.mkfifo, "pipe"),
    "a socket": (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "socket"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "device"),
    "a broken link": (lambda path: path.symlink_to("nowhere"), "broken link"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "back to itself"),
    "a link into git-annex": (lambda path: path.symlink_to(".git/annex/objects/x/y"), "datalad get"),
    "nothing": (lambda _: None, "does not exist"),
    "not readable": (_not_readable, "Permission denied"),
    "30 GB of zeros": (_sparse, "too large"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_of_a_scan_is_refused_at_once(kind, tmp_path):
    make, words = SPECIAL[kind]
    path = tmp_path / "s.nii.gz"
    make(path)
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        read_raw(path, Reading())
    assert words in str(caught.value)
    assert time.monotonic() - start < 2


def test_a_gzip_bomb_is_refused_before_memory_is_asked_for(tmp_path):
    zeros = gzip.compress(bytes(2**24), 9)
    header = odd_files.with_fields(dim=[3, 1400, 1400, 1400, 1, 1, 1, 1])[:352]
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(header) + zeros * 400)
    tracemalloc.start()
    with pytest.raises(InputError, match="too large"):
        read_raw(path, Reading())
    path.write_bytes(PACKED + zeros)  # the header claims a small scan, and much follows
    with pytest.raises(InputError, match="does not fit its header"):
        read_raw(path, Reading())
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_gzip_agrees_about_what_is_broken(tmp_path):
    path = tmp_path / "scan.nii.gz"
    for content in (PACKED, PACKED + bytes(9), PACKED + PACKED[:40], flipped(PACKED, 30), PACKED[:-1]):
        path.write_bytes(content)
        told = subprocess.run(["gzip", "-t", path], capture_output=True, check=False).returncode
        try:
            read_raw(path, Reading())
            read = True
        except InputError:
            read = False
        assert read == (told == 0), content[-9:]


@pytest.mark.parametrize(("factor", "words"), [(1e30, "no numbers"), (1e-20, "differ")])
def test_values_that_cannot_be_computed_with(factor, words, tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(image(HEAD * factor))
    with pytest.raises(InputError, match=words):
        read_raw(path, Reading())
