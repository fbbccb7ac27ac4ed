"""Shifted masks give what SciPy gives, at the ends of the grid too; a mask is the same whether its box is sampled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from brainuad.images import morphology
from brainuad.images.resample import resample, resample_mask

BALL = (np.mgrid[-2:3, -2:3, -2:3] ** 2).sum(axis=0) <= 5
BAR = np.ones((1, 3, 1), dtype=bool)


@pytest.mark.parametrize("element", [BALL, BAR], ids=["ball", "bar"])
@pytest.mark.parametrize("name", ["dilat", "erod", "open", "clos"])
def test_masks_are_those_of_scipy(name, element):
    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(20, 17, 23)), 2.0) > -0.02
    reference = {"dilat": "dilation", "erod": "erosion", "open": "opening", "clos": "closing"}[name]
    found = getattr(morphology, "closed" if name == "clos" else f"{name}ed")(mask, element)
    np.testing.assert_array_equal(found, getattr(ndimage, f"binary_{reference}")(mask, element))
    assert found.any()
    assert not found.all()


@pytest.mark.parametrize("turned", [0.0, 0.3])
@pytest.mark.parametrize("step", [1.0, 2.2])
def test_a_mask_is_the_same_as_if_all_of_the_grid_were_sampled(turned, step):
    rng = np.random.default_rng(1)
    mask = np.zeros((30, 34, 26), dtype=bool)
    mask[18:, 9:20, 5:17] = ndimage.gaussian_filter(rng.normal(size=(12, 11, 12)), 1.5) > 0  # it touches the end
    transform = np.eye(4)
    transform[:2, :2] = [[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]]
    transform[:3, 3] = [3.3, -5.1, 0.7]
    target = np.diag([step, step, step, 1.0])
    grid = (mask.astype(np.float32), np.eye(4), (28, 28, 28), target, transform)
    expected = resample(*grid) > 0.5
    assert expected.any()
    np.testing.assert_array_equal(resample_mask(mask, *grid[1:]), expected)


def test_an_empty_mask_and_one_outside_of_the_grid_stay_empty():
    mask = np.zeros((6, 6, 6), dtype=bool)
    away = np.eye(4)
    away[:3, 3] = 100.0
    assert not resample_mask(mask, np.eye(4), (5, 5, 5), np.eye(4)).any()
    mask[2:4, 2:4, 2:4] = True
    assert not resample_mask(mask, np.eye(4), (5, 5, 5), away).any()
    np.testing.assert_array_equal(resample_mask(mask, np.eye(4), (6, 6, 6), np.eye(4)), mask)


@pytest.mark.parametrize(("step", "shift"), [(1, 0), (2, 0), (2, 3), (3, 1)])
def test_voxels_that_lie_on_voxels_are_those_of_interpolation(step, shift):
    data = np.random.default_rng(2).normal(size=(17, 14, 19)).astype(np.float32)
    target = np.diag([float(step)] * 3 + [1.0])
    target[:3, 3] = shift
    sigma = np.sqrt(step**2 - 1) / 2.355
    expected = ndimage.affine_transform(
        ndimage.gaussian_filter(data, sigma),
        np.eye(3) * step,
        np.full(3, float(shift)),
        output_shape=(4, 4, 4),
        order=1,
    )
    np.testing.assert_array_equal(resample(data, np.eye(4), (4, 4, 4), target), expected)


def test_voxels_beyond_the_data_are_filled():
    data = np.ones((4, 4, 4), dtype=np.float32)
    found = resample(data, np.eye(4), (5, 4, 4), np.eye(4), fill=-3.0)
    assert (found[4] == -3.0).all()
    assert (found[:4] == 1.0).all()
