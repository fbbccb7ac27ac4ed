"""A scan that is registered with another of its session."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from brainuad.config.recipe import Preprocess, Quality
from brainuad.formats import status, transform, volume
from brainuad.formats.volume import Volume
from brainuad.images.phantom import make_phantom
from brainuad.images.template import mni152
from brainuad.preprocess.quality.verdict import judged
from brainuad.preprocess.registration.input import registration_input
from brainuad.preprocess.registration.same_session import register_in_session
from brainuad.preprocess.scan import preprocess
from brainuad.preprocess.scan_files import ScanFiles

phantom = cache(make_phantom)


def rigid(degrees, shift):
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    turn[:3, 3] = shift
    return turn


def apart(one, other, brain, affine):
    """Root mean square distance of two transforms over the brain, mm."""
    index = np.argwhere(brain)[::300]
    points = affine @ np.column_stack([index, np.ones(len(index))]).T
    return float(np.sqrt((((one - other) @ points)[:3] ** 2).sum(axis=0).mean()))


def found(reference, scan):
    inputs = (
        registration_input(reference, "T1w", False, mni152(2.0)),
        registration_input(scan, "FLAIR", False, mni152(2.0)),
    )
    return register_in_session(reference, scan, *inputs)


def test_one_grid_is_one_place():
    t1, flair = phantom(5, "T1w"), phantom(5, "FLAIR")
    moved = Volume(np.roll(flair.image, 9, axis=0), flair.affine)
    np.testing.assert_array_equal(found(Volume(t1.image, t1.affine), moved), np.eye(4))


@pytest.mark.parametrize(("degrees", "shift"), [(0, (0, 0, 0)), (8, (12, -6, 4)), (10, (60, -30, 20))])
def test_headers_that_disagree_are_overruled(degrees, shift):
    t1, flair = phantom(5, "T1w"), phantom(5, "FLAIR")
    truth = rigid(degrees, shift)
    thick = Volume(flair.image[:, :, 1::2].astype(np.float32), truth @ flair.affine @ np.diag([1, 1, 2.0, 1]))
    thick.affine[:3, 3] += (truth @ flair.affine)[:3, 2]
    result = found(Volume(t1.image.astype(np.float32), t1.affine), thick)
    assert apart(result, truth, t1.brain, t1.affine) < 1.0
    np.testing.assert_allclose(result[:3, :3] @ result[:3, :3].T, np.eye(3), atol=1e-6)


def test_a_scan_goes_along_with_its_reference(tmp_path):
    t1, flair = phantom(5, "T1w"), phantom(5, "FLAIR")
    truth = rigid(6, (10, -8, 5))
    volume.write(tmp_path / "t1.nii.gz", t1.image, t1.affine)
    volume.write(
        tmp_path / "flair.nii.gz",
        flair.image[1:],
        truth @ flair.affine @ np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    )
    files = {"T1w": tmp_path / "t1.nii.gz", "FLAIR": tmp_path / "flair.nii.gz"}
    preprocess(ScanFiles("sub-1", "T1w", files["T1w"]), Preprocess(), tmp_path / "alone" / "sub-1")
    flair = ScanFiles("sub-1", "FLAIR", files["FLAIR"], register_with="T1w", reference=files["T1w"])
    state = preprocess(flair, Preprocess(), tmp_path / "led" / "sub-1")
    assert judged(state, Quality()).state != "failed"
    assert set(state.provenance["inputs"]) == {"T1w", "FLAIR"}
    alone, led = (
        transform.read(status.paths(tmp_path / name / "sub-1")["transform"]).matrix for name in ("alone", "led")
    )
    grid = volume.read_mask(status.paths(tmp_path / "led" / "sub-1")["brain"])
    assert apart(led, truth @ alone, grid.data, grid.affine) < 1.0
    assert "register_with" not in status.read(tmp_path / "led" / "sub-1" / "status.json").provenance["settings"]
