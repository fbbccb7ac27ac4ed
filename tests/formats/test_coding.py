from __future__ import annotations

import numpy as np
import pytest

from brainuad.formats import array_cache
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.coding import Coding, Picked
from brainuad.formats.scans import Scan

RNG = np.random.default_rng(0)
BRAIN = np.zeros((9, 8, 7), bool)
BRAIN[1:-1, 1:-1, 1:-1] = True
LIMITS = (-0.5, 2.0)


def scan() -> np.ndarray:
    return np.where(BRAIN, RNG.uniform(*LIMITS, BRAIN.shape), 0).astype(np.float32)


def written(folder, coding, n=3):
    images = [scan() for _ in range(n)]
    rows = [Scan(f"sub-{i}", f"sub-{i}", "x", role="train" if i else "test") for i in range(n)]
    entries = [Entry(row, image, BRAIN) for row, image in zip(rows, images, strict=True)]
    array_cache.write(folder, entries, CacheHeader(np.eye(4), coding=coding))
    return images, array_cache.read(folder)


@pytest.mark.parametrize(
    ("coding", "bytes_each", "error"),
    [(Coding(), 4, 0), (Coding("float16"), 2, 2**-10), (Coding("uint8", LIMITS), 1, 2.5 / 254 / 2 + 1e-6)],
)
def test_what_is_read_is_what_was_written(tmp_path, coding, bytes_each, error):
    images, opened = written(tmp_path / "s", coding)
    assert (tmp_path / "s" / "images.npy").stat().st_size == array_cache.NPY_HEADER + bytes_each * 3 * BRAIN.size
    for i, image in enumerate(images):
        found = np.asarray(opened.images[i])
        assert found.dtype == np.float32
        assert np.abs(found - image).max() <= error
        assert not found[~BRAIN].any()
    for i, (one, image) in enumerate(zip(opened.images, images, strict=True)):
        np.testing.assert_array_equal(one, opened.images[i])
        np.testing.assert_array_equal(opened.images[i, :, :, 3], np.asarray(one)[:, :, 3])
        assert np.abs(one - image).max() <= error
    assert np.asarray(opened.images).shape == opened.images.shape == (3, *BRAIN.shape)


def test_the_limits_are_kept_and_values_beyond_are_clipped():
    coding = Coding("uint8", LIMITS)
    image = np.where(BRAIN, 9.0, 0).astype(np.float32)
    image[1, 1, 1:4] = [-0.5, 2.0, -7]
    found = coding.decode(coding.encode(image, BRAIN))
    assert found[1, 1, 1:4].tolist() == [-0.5, 2.0, -0.5]
    assert found[2, 2, 2] == 2


@pytest.mark.parametrize("coding", [Coding(), Coding("uint8", LIMITS)])
def test_coded_volumes_are_selected_by_role_and_by_index(tmp_path, coding):
    _, opened = written(tmp_path / "s", coding)
    train = opened.select("train")
    assert train.images.shape[0] == 2
    np.testing.assert_array_equal(train.images[1], opened.images[2])
    few = Picked([(opened.images, 2), (train.images, 0)])
    assert [image.dtype for image in few] == [np.float32] * 2
    np.testing.assert_array_equal(few[1], opened.images[1])
    np.testing.assert_array_equal(few[1:][0], opened.images[1])


def test_an_empty_array_cache_keeps_its_coding(tmp_path):
    array_cache.write(tmp_path / "s", [], CacheHeader(np.eye(4), shape=(4, 5, 6), coding=Coding("uint8", LIMITS)))
    assert array_cache.read(tmp_path / "s").images.shape == (0, 4, 5, 6)
