"""From a scan to the template and back to its own voxels: oblique, thick slices, axes in another order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brainuad.images.native import to_native
from brainuad.images.phantom import make_phantom
from brainuad.images.resample import resample, resample_mask
from brainuad.images.template import mni152

GRIDS = {  # columns: which way and how far (mm) a step along each axis goes, before the grid is turned
    "thick axial, right to left": ([[-1.5, 0, 0], [0, 1.5, 0], [0, 0, 4.0]], (134, 148, 55)),
    "thick coronal, top down first": ([[0, -1.5, 0], [0, 0, 4.0], [-1.8, 0, 0]], (126, 134, 60)),
}


@pytest.mark.parametrize("case", GRIDS)
def test_a_scan_resampled_to_the_template_and_back_is_the_same(case):
    columns, shape = GRIDS[case]
    turn = Rotation.from_euler("xyz", [12, -8, 17], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array(columns)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    phantom, template = make_phantom(11, "T1w", "tumour"), mni152(2.0)
    forth = (template.brain.shape, template.affine, phantom.template_to_scan)
    back = (template.affine, shape, affine, phantom.template_to_scan)
    scan = resample(phantom.image, phantom.affine, shape, affine)
    brain, lesion = (resample_mask(m, phantom.affine, shape, affine) for m in (phantom.brain, phantom.lesion))

    found = to_native(resample(scan, affine, *forth), *back)
    inner = ndimage.binary_erosion(brain, iterations=2)
    low, high = np.percentile(scan[inner], (2, 98))
    assert np.sqrt(((found - scan)[inner] ** 2).mean()) < 0.06 * (high - low)
    for mask, least in ((brain, 0.985), (lesion, 0.9)):
        again = to_native(resample_mask(mask, affine, *forth), *back)
        assert again.dtype == bool
        assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > least
        apart = affine[:3, :3] @ (np.argwhere(again).mean(axis=0) - np.argwhere(mask).mean(axis=0))
        assert np.linalg.norm(apart) < 0.5


def test_outside_the_field_of_view_is_0():
    found = to_native(np.ones((4, 4, 4), np.float32), np.eye(4), (9, 4, 4), np.eye(4), np.eye(4))
    assert (found[:4] == 1).all()
    assert (found[4:] == 0).all()
