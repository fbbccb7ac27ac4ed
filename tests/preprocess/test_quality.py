"""Quality numbers on phantoms whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from brainuad.config.recipe import Quality
from brainuad.formats import quality as table
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images.phantom import make_phantom
from brainuad.images.pose import Pose
from brainuad.images.resample import resample_mask
from brainuad.images.template import mni152
from brainuad.preprocess.brain_mask.outside_brain import measure_outside_brain
from brainuad.preprocess.quality import appearance
from brainuad.preprocess.quality.measure import measure
from brainuad.preprocess.quality.symmetry import residual_tilt_and_offset
from brainuad.preprocess.quality.verdict import Findings, verdict
from brainuad.preprocess.registered_scan import resample_to_template


@pytest.fixture(scope="module")
def head():
    return make_phantom(21, "T1w", spacing=3.0)


def registered(phantom, image=None, pose=None):
    """The phantom registered as it lies, or off by `pose`."""
    off = np.eye(4) if pose is None else pose.matrix() @ np.linalg.inv(Pose().matrix())
    where, template = Affine(phantom.template_to_scan @ off), mni152(3.0)
    scan = Volume(phantom.image if image is None else image, phantom.affine)
    brain = resample_mask(phantom.brain, phantom.affine, template.brain.shape, template.affine, where.matrix)
    return resample_to_template(scan, where, template, phantom.contrast), brain


def measured(phantom, **override):
    """Quality numbers of the phantom where it lies; `override`: the brain mask on the scan's voxels."""
    scan, brain = registered(phantom)
    in_scan = override.get("brain_in_scan", scan.to_scan(brain))
    beside = measure_outside_brain(Volume(brain, scan.template.affine), np.eye(4), scan.template).numbers()
    return {"nmi": 1.08, "half_turn_ratio": 0.4, "lesion_ml": 0.0, **beside, **measure(scan, brain, in_scan)}


def test_every_number_is_explained(head):
    numbers = measured(head)
    assert set(numbers) == set(table.NUMBERS)
    assert verdict(numbers, Quality(), "T1w") == Findings()


def test_the_rest_of_a_tilt_is_seen_and_nothing_where_there_is_none(head):
    tilt, offset = residual_tilt_and_offset(registered(head)[0].image, mni152(3.0))
    assert tilt < 2
    assert offset < 2
    for pose in (Pose((0, 8, 0)), Pose((0, 0, -8))):
        assert residual_tilt_and_offset(registered(head, pose=pose)[0].image, mni152(3.0))[0] == pytest.approx(
            8, abs=1.5
        )
    moved = residual_tilt_and_offset(registered(head, pose=Pose(translation=(7, 0, 0)))[0].image, mni152(3.0))
    assert moved == (pytest.approx(tilt, abs=2), pytest.approx(7, abs=1.5))


def test_noise_is_measured_in_units_of_the_tissues(head):
    low, high = np.percentile(ndimage.gaussian_filter(head.image, 0.7)[head.brain], (5, 95))
    rng = np.random.default_rng(0)
    before = appearance.noise_ratio(Volume(head.image, head.affine), head.brain, "T1w")
    for share in (0.2, 0.5):
        image = head.image + share * (high - low) * rng.standard_normal(head.image.shape).astype(np.float32)
        found = appearance.noise_ratio(Volume(image, head.affine), head.brain, "T1w")
        assert found == pytest.approx(np.hypot(share, before), rel=0.35)
    assert before < 0.12


def test_clipped_brains_are_counted(head):
    top = np.percentile(head.image[head.brain], 80)
    assert appearance.clipped_fraction(Volume(head.image, head.affine), head.brain) < 1e-3
    assert appearance.clipped_fraction(Volume(np.minimum(head.image, top), head.affine), head.brain) == pytest.approx(
        0.2, abs=0.02
    )


def test_what_cannot_be_measured_is_no_number(head):
    scan, nothing = Volume(head.image, head.affine), np.zeros(head.image.shape, bool)
    assert appearance.clipped_fraction(scan, nothing) is None
    assert appearance.missing_slice_fraction(scan, nothing) is None
    assert appearance.noise_ratio(scan, nothing, "T1w") is None
    numbers = measured(head, brain_in_scan=nothing)
    assert set(table.NUMBERS) - set(numbers) == {
        "clipped_fraction",
        "missing_slice_fraction",
        "noise_ratio",
        "ghosting_ratio",
    }


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_empty_and_dark_slices_are_counted_along_any_axis(head, axis):
    levels = np.flatnonzero(head.brain.any(axis=tuple({0, 1, 2} - {axis})))
    middle = slice(int(levels.mean()), int(levels.mean()) + 3)
    where = tuple(middle if a == axis else slice(None) for a in range(3))
    scan = head.image.copy()
    assert appearance.missing_slice_fraction(Volume(scan, head.affine), head.brain) == 0
    scan[where] = 7
    empty = appearance.missing_slice_fraction(Volume(scan, head.affine), head.brain)
    assert 2 / len(levels) < empty < 4 / (0.6 * len(levels))
    dark = head.image.copy()
    dark[tuple(slice(None, None, 2) if a == axis else slice(None) for a in range(3))] *= 0.25
    assert appearance.missing_slice_fraction(Volume(dark, head.affine), head.brain) > 0.25


def test_motion_shows_in_the_air_and_white_noise_hardly(head):
    spectrum = np.fft.fftn(head.image)
    moved = np.fft.fftn(ndimage.shift(head.image, (0, 3, 2), order=1))
    lines = np.random.default_rng(1).permutation(head.image.shape[1])[: head.image.shape[1] // 3]
    spectrum[:, lines] = moved[:, lines]
    still, ghosted = (
        appearance.ghosting_ratio(Volume(np.abs(image).astype(np.float32), head.affine), head.brain)
        for image in (head.image, np.fft.ifftn(spectrum))
    )
    assert still is not None
    assert ghosted > max(0.08, 4 * still)
    stripped = Volume(head.image * head.brain, head.affine)
    assert appearance.ghosting_ratio(stripped, head.brain) is None


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "FLAIR", "CT"])
def test_a_scan_looks_like_its_own_modality_alone(contrast):
    phantom = make_phantom(22, contrast, "tumour", spacing=3.0)
    numbers = measured(phantom)
    own = "ct" if contrast == "CT" else contrast
    for modality in ("T1w", "T2w", "FLAIR", "ct"):
        failed = verdict(numbers, Quality(), modality).failed
        assert any("does not look like" in reason for reason in failed) == (modality != own), (modality, failed)
    assert verdict(numbers, Quality(check_modality=False), "T2w").failed == []
