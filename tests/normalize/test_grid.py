"""The part of the template grid that models see, and its voxels."""

from __future__ import annotations

import numpy as np
import pytest

from brainuad.config.recipe import Normalize, Resize
from brainuad.errors import ConfigError
from brainuad.normalize.grid import resized, window

SHAPE = (40, 48, 36)
AFFINE = np.array([[2.0, 0, 0, -40], [0, 2, 0, -60], [0, 0, 2, -20], [0, 0, 0, 1]])


def corners(part):
    shape, affine = part.grid
    return [(affine @ [*index, 1])[:3] for index in ((0, 0, 0), np.array(shape) - 1)]


def test_without_settings_only_the_height_is_cropped():
    part = window(SHAPE, AFFINE, Normalize(slices=(0, 20)))
    assert part.grid[0] == (40, 48, 11)
    np.testing.assert_allclose(corners(part), [[-40, -60, 0], [38, 34, 20]])


def test_a_box_is_given_in_mm_and_both_ends_count():
    part = window(SHAPE, AFFINE, Normalize(slices=(0, 20), box=((-30, 31), (-49, 10))))
    np.testing.assert_allclose(corners(part), [[-30, -48, 0], [30, 10, 20]])


def test_shape_pads_and_crops_around_the_box():
    part = window(SHAPE, AFFINE, Normalize(slices=(0, 20), box=((-30, 30), (-40, 10)), shape=(35, 20)))
    low, high = corners(part)
    np.testing.assert_allclose((low + high)[:2] / 2, [0, -15], atol=1)
    assert part.grid[0] == (35, 20, 11)
    image = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    at = np.linalg.inv(AFFINE) @ [*low, 1]
    assert part.image(image)[0, 0, 0] == image[tuple(at[:3].round().astype(int))]


@pytest.mark.parametrize(("count", "ends"), [(20, (-4, 34)), (35, (-20, 48)), (99, (-20, 50))])
def test_a_number_of_slices_is_taken_from_the_middle(count, ends):
    low, high = corners(window(SHAPE, AFFINE, Normalize(slices=count)))
    assert (low[2], high[2]) == ends


def test_an_empty_box_is_refused():
    with pytest.raises(ConfigError, match="box is empty"):
        window(SHAPE, AFFINE, Normalize(box=((500, 600), (0, 10))))


def test_resizing_keeps_positions():
    x, y, z = np.mgrid[:40, :48, :36]
    blob = np.exp(-((x - 14) ** 2 + (y - 30) ** 2 + (z - 20) ** 2) / 30).astype(np.float32)
    part = window(SHAPE, AFFINE, Normalize(slices=(-20, 50), resize=Resize(shape=(16, 16, 16))))
    small, (shape, affine) = part.image(blob), part.grid
    assert small.shape == shape == (16, 16, 16)
    centre = affine @ [*(np.indices(shape).reshape(3, -1) @ small.ravel() / small.sum()), 1]
    np.testing.assert_allclose(centre[:3], (AFFINE @ [14, 30, 20, 1])[:3], atol=0.3)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), [5, 6, 4.5])
    volume = np.linalg.det(affine[:3, :3]) * (small > 0.3).sum()
    assert volume == pytest.approx(8 * (blob > 0.3).sum(), rel=0.35)
    mask = part.mask(blob > 0.3)
    assert mask.dtype == bool
    assert np.linalg.det(affine[:3, :3]) * mask.sum() == pytest.approx(8 * (blob > 0.3).sum(), rel=0.15)


def test_only_axes_with_larger_voxels_are_smoothed():
    noise = np.random.default_rng(0).normal(size=(32, 32, 32)).astype(np.float32)
    rough, smooth = (resized(noise, Resize(shape=(16, 16, 16), smooth=sigma)) for sigma in (0.0, 0.5))
    assert smooth.std() < 0.75 * rough.std()
    np.testing.assert_array_equal(resized(noise, Resize(shape=(32, 32, 32), smooth=0.5)), noise)
    np.testing.assert_allclose(resized(np.ones((9, 7, 5)), Resize(shape=(4, 4, 8))), 1, atol=1e-6)
