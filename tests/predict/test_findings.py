"""Findings: components of a mask, measured in the scan's space and named by MNI coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from brainuad.predict.findings import Places, findings
from brainuad.predict.regions import named

GRID = np.diag([2.0, 2.0, 2.0, 1.0])
GRID[:3, 3] = (-60, -80, -40)
TO_SCAN = np.diag([1.1, 1.0, 0.9, 1.0])
TO_SCAN[:3, 3] = (3, 4, 5)
PLACES = Places(GRID, GRID, TO_SCAN @ GRID)


@pytest.mark.parametrize(
    ("point", "region"),
    [  # known places in MNI space, in mm
        ((-41, 0, 50), "left frontal lobe"),
        ((8, 37, -16), "right frontal lobe"),
        ((42, -32, 54), "right parietal lobe"),
        ((-46, -60, 38), "left parietal lobe"),
        ((56, -36, -2), "right temporal lobe"),
        ((-28, -20, -14), "left temporal lobe"),
        ((44, 14, -30), "right temporal lobe"),
        ((-36, -38, -18), "left temporal lobe"),
        ((12, -80, 8), "right occipital lobe"),
        ((-24, -82, 28), "left occipital lobe"),
        ((38, 4, 2), "right insula"),
        ((-25, 4, 2), "left basal ganglia and thalamus"),
        ((12, -18, 8), "right basal ganglia and thalamus"),
        ((0, -26, -34), "brain stem"),
        ((-36, -68, -32), "left cerebellum"),
        ((0, -58, -18), "cerebellum"),
    ],
)
def test_known_places_lie_in_their_region(point, region):
    assert named(np.array([point], dtype=float))[0] == region


def test_a_region_holds_a_share_of_a_finding():
    points = np.array([[-41.0, 0, 50]] * 3 + [[42.0, -32, 54]])
    assert named(points) == ("left frontal lobe", 0.75)


def test_findings_are_ranked_by_peak_and_measured_in_the_scans_space():
    anomaly, mask = np.zeros((60, 60, 60), np.float32), np.zeros((60, 60, 60), bool)
    mask[10:12, 40:43, 50:54] = mask[50, 20, 20] = True
    anomaly[mask] = 1
    anomaly[11, 41, 52], anomaly[50, 20, 20] = 3, 7
    one, two = findings(anomaly, mask, PLACES)
    assert (one.rank, one.peak, two.rank, two.peak) == (1, 7, 2, 3)
    assert two.ml == pytest.approx(24 * 8 * 1.1 * 0.9 / 1000)
    assert two.peak_mni_mm == (-38, 2, 64)
    assert two.centre_mni_mm == (-39, 2, 63)
    assert two.peak_scan_mm == pytest.approx((-38 * 1.1 + 3, 6, 64 * 0.9 + 5))


def test_without_a_marked_voxel_there_is_no_finding():
    empty = np.zeros((4, 4, 4))
    assert findings(empty, empty > 0, PLACES) == []
