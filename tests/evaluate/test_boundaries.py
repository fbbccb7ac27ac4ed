from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from brainuad.evaluate.tables import mean_rows
from brainuad.metrics.boundary_metrics import hd95, nsd
from brainuad.metrics.evidence import Patients, ScanMaskEvidence
from brainuad.metrics.statistics import leave_one_out
from brainuad.metrics.surfaces import MOST, Surface

SHAPE = (24, 20, 16)
NONE = np.zeros(SHAPE, bool)


def ball(centre, radius):
    places = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    return sum((place - middle) ** 2 for place, middle in zip(places, centre, strict=True)) <= radius**2


def seen(predicted, lesion, spacing=(1.0, 1.0, 1.0), tolerance=2.0):
    return ScanMaskEvidence(predicted, lesion, np.ones(SHAPE, bool), spacing, tolerance)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 3.0)])
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("case", range(4))
def test_distances_are_those_of_monai(case, tolerance, spacing):
    rng = np.random.default_rng(case)
    predicted, lesion = [
        (ball((10, 9, 8), 5), ball((12, 9, 8), 4)),
        (ball((10, 9, 8), 5) | ball((20, 15, 3), 1), ball((10, 9, 8), 5)),
        (ball((0, 9, 8), 5), ball((4, 3, 0), 4)),  # at the end of the grid
        (rng.random(SHAPE) < 0.05, rng.random(SHAPE) < 0.02),
    ][case]
    scan = seen(predicted, lesion, spacing, tolerance)
    theirs = [torch.from_numpy(mask[None, None]).float() for mask in (predicted, lesion)]
    expected = float(compute_surface_dice(*theirs, [tolerance], True, spacing=spacing))
    assert nsd(scan) == pytest.approx(expected, abs=1e-6)
    expected = float(compute_hausdorff_distance(*theirs, True, percentile=95, spacing=spacing))
    assert hd95(scan) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 3.0)])
def test_the_largest_distance_is_that_of_simpleitk(spacing):
    """Of a mask inside another, so that the largest distance of ITK, which is of whole masks, is one of surfaces."""
    masks = ball((12, 10, 8), 7), ball((11, 9, 8), 3)
    images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    for image in images:
        image.SetSpacing(spacing[::-1])
    theirs = SimpleITK.HausdorffDistanceImageFilter()
    theirs.Execute(*images)
    outer, inner = (Surface.of(mask, spacing) for mask in masks)
    assert outer.distance(inner, 100) == pytest.approx(theirs.GetHausdorffDistance(), abs=1e-5)


def test_two_plates_by_hand():
    """Two plates of one voxel, 3 mm apart, of which one is twice as large: 25 of its 50 voxels lie further away."""
    plate, twice = NONE.copy(), NONE.copy()
    plate[5:10, 5:10, 4], twice[5:10, 5:15, 7] = True, True
    scan = seen(twice, plate, tolerance=3.0)
    assert nsd(scan) == (25 + 25) / 75
    assert hd95(scan) == pytest.approx(np.hypot(3, 5), abs=0.1)


@pytest.mark.parametrize(
    ("predicted", "lesion", "expected"),
    [
        (NONE, NONE, (np.nan, np.nan)),
        (ball((9, 9, 9), 3), NONE, (np.nan, np.nan)),
        (NONE, ball((9, 9, 9), 3), (0, np.linalg.norm(SHAPE))),
        (ball((9, 9, 9), 3), ball((9, 9, 9), 3), (1, 0)),
    ],
)
def test_empty_masks(predicted, lesion, expected):
    scan = seen(predicted, lesion)
    np.testing.assert_allclose([nsd(scan), hd95(scan)], expected)


def test_a_percentile_of_a_large_surface_is_that_of_an_even_part_of_it():
    rng = np.random.default_rng(0)
    points = np.argwhere(rng.random((60, 60, 60)) < 0.4).astype(float)
    assert len(points) > 4 * MOST
    other = Surface(np.argwhere(rng.random((60, 60, 10)) < 0.001).astype(float))
    exact = float(np.percentile(other.tree.query(points)[0], 95))
    assert Surface(points).distance(other, 95) == pytest.approx(exact, rel=0.01)


def test_millimetres_under_one_are_no_shares():
    scans = SimpleNamespace(patients=Patients(list("abc"), leave_one_out(list("abc"))))
    distance, share = mean_rows("r", {"hd95": [0.5, 0.8, 1.0], "nsd": [0.5, 0.8, 1.0]}, scans)
    assert distance["ci_high"] > 1 > share["ci_high"]
