from __future__ import annotations

import numpy as np
import pytest

from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.template import mni152
from brainuad.preprocess.centre import shift_to_middle, shifted
from brainuad.preprocess.pipeline import PreprocessedScan, centre
from brainuad.preprocess.registered_scan import resample_to_template


@pytest.mark.parametrize(("rows", "columns"), [((2, 9), (5, 11)), ((6, 17), (1, 4)), ((0, 20), (0, 3))])
def test_the_brain_comes_to_the_middle(rows, columns):
    brain = np.zeros((20, 24, 4), bool)
    brain[slice(*rows), slice(*columns), 1:3] = True
    middle = shifted(brain, shift_to_middle(brain))
    assert middle.sum() == brain.sum(), "nothing falls over the edge"
    for axis, others in ((0, (1, 2)), (1, (0, 2))):
        first, last = np.flatnonzero(middle.any(axis=others))[[0, -1]]
        assert abs(first - (brain.shape[axis] - 1 - last)) <= 1
    assert (middle.any(axis=(0, 1)) == brain.any(axis=(0, 1))).all(), "levels stay"


def test_what_comes_in_from_outside_is_filled():
    data = np.arange(12.0).reshape(3, 4, 1)
    np.testing.assert_array_equal(shifted(data, (1, -2), -1.0)[..., 0], [[-1] * 4, [2, 3, -1, -1], [6, 7, -1, -1]])


def test_the_transform_holds_the_move():
    template = mni152(4.0)
    scan = Volume(template.t1, template.affine)
    away = np.eye(4)
    away[:3, 3] = [8, -12, 4]
    registered = resample_to_template(scan, Affine(away), template, "T1w")
    brain = registered.image > 0.1
    lesion = np.zeros_like(brain)
    lesion[20:24, 30:34, 20:24] = True
    image = np.where(brain, registered.image, 0)
    result = centre(PreprocessedScan(image, brain, {"lesion": lesion}, registered, {}, stripped=False))
    steps = shift_to_middle(brain)
    assert steps != (0, 0)
    np.testing.assert_array_equal(result.brain, shifted(brain, steps))
    np.testing.assert_array_equal(result.masks["lesion"], shifted(lesion, steps))
    again = resample_to_template(scan, result.registered.transform, template, "T1w").image
    np.testing.assert_allclose(again[result.brain], result.image[result.brain], atol=1e-5)
