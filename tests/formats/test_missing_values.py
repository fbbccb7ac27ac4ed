"""NaN and infinity: background around the head, a few filled inside it, more of them refused with their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.formats.odd_files import AFFINE, HEAD

from brainuad.errors import InputError
from brainuad.formats.missing_values import filled
from brainuad.formats.volume import Volume

SCAN = HEAD.astype(np.float32)
FINE = np.kron(np.where(SCAN > 0, 1000, 0), np.ones((3, 3, 3))).astype(np.float32)
FINE[30:32, 10:12, 27:29] = 990
"""Even, but for a few voxels, and on a finer grid: a voxel of it is less than a thousandth of the head."""


def result(data: np.ndarray) -> tuple[np.ndarray, list[str]]:
    with np.errstate(all="raise"):
        return filled(Path("scan.nii.gz"), Volume(data.astype(np.float32), AFFINE))


def with_box(data: np.ndarray, size: int, value: float = np.nan) -> np.ndarray:
    changed = data.copy()
    changed[tuple(slice(n // 2, n // 2 + size) for n in data.shape)] = value
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3e38])
def test_around_the_head_it_is_background(value):
    data, notes = result(np.where(SCAN > 0, SCAN, value))
    np.testing.assert_array_equal(data, SCAN)
    assert len(notes) == 1
    assert "background, 0" in notes[0]
    assert f"{(SCAN == 0).mean():.1%}" in notes[0]


def test_the_background_of_a_scan_below_zero_is_its_lowest_value():
    data, notes = result(np.where(SCAN > 0, SCAN - 1500, np.nan))
    lowest = SCAN[SCAN > 0].min() - 1500
    np.testing.assert_array_equal(data, np.where(SCAN > 0, SCAN - 1500, lowest))
    assert f"background, {lowest:g}" in notes[0]


def test_where_it_is_dark_as_air_inside_the_head_it_is_background_too():
    sinus = with_box(SCAN, 4, 0)
    around = np.pad(np.ones((4, 4, 4)), 1)
    sinus[9:15, 11:17, 8:14] *= np.where(around > 0, 1, 0.1)  # the edge of the sinus
    air = with_box(np.where(sinus > 0, sinus, np.nan), 4, -np.inf)
    data, notes = result(air)
    np.testing.assert_array_equal(data, sinus)
    assert len(notes) == 1


def test_a_few_inside_the_head_are_filled_from_their_neighbours():
    data, notes = result(with_box(FINE, 1))
    np.testing.assert_allclose(data, FINE, rtol=1e-5)
    assert "1 isolated" in notes[0]
    data, notes = result(with_box(np.where(FINE > 0, FINE, np.nan), 1))
    np.testing.assert_allclose(data, FINE, rtol=1e-5)
    assert len(notes) == 2
    hole = FINE.copy()
    hole[28:31, 30:33, 25:27] = np.nan  # its middle has no neighbour that is known
    data, _ = result(hole)
    np.testing.assert_allclose(data, FINE, rtol=1e-5)


@pytest.mark.parametrize("background", [0, np.nan])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: with_box(data, 4), "64 voxels inside the head (2.8"),
        (lambda data: with_box(data, 4), "around 14, 12, 14 mm"),
        (lambda data: with_box(data, 4, np.inf), "36 x 36 x 36 mm"),
        (lambda data: np.where(np.random.default_rng(0).random(data.shape) < 0.01, np.nan, data), "%"),
        (lambda data: np.where(np.random.default_rng(0).random(data.shape) < 0.4, np.nan, data), "%"),
        (lambda data: np.where(np.arange(20)[:, None, None] // 3 == 3, np.nan, data), "3 slices, the first number 9"),
    ],
)
def test_many_inside_the_head_are_refused_with_share_and_place(spoil, words, background):
    with pytest.raises(InputError) as caught:
        result(spoil(np.where(SCAN > 0, SCAN, background)))
    assert words in str(caught.value.why)
    assert caught.value.do


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_a_scan_without_numbers_is_refused(value):
    with pytest.raises(InputError, match="no numbers"):
        result(np.full(SCAN.shape, value))
    with pytest.raises(InputError, match="no numbers"):
        result(np.where(SCAN > 0, value, 0))


def test_a_scan_of_numbers_alone_is_given_as_it_is():
    data, notes = filled(Path("scan.nii.gz"), volume := Volume(SCAN, AFFINE))
    assert data is volume.data
    assert notes == []


@pytest.mark.parametrize("value", [1e7, -1e7, 9e11])
def test_single_values_beyond_any_tissue_are_filled_and_the_limit_is_told(value):
    data, notes = result(with_box(FINE, 1, value))
    np.testing.assert_allclose(data, FINE, rtol=1e-5)
    assert "1 isolated" in notes[0]
    assert "1e+06" in notes[0]
    with pytest.raises(InputError, match="no numbers"):
        result(with_box(FINE, 5, value))


def test_the_limit_is_no_news_where_nothing_is_beyond_it():
    _, notes = result(with_box(FINE, 1, np.nan))
    assert "count as infinite" not in notes[0]
