from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.images.anatomy import head
from brainuad.images.phantom import Phantom, make_phantom
from brainuad.images.pose import Pose, draw_pose
from brainuad.images.resample import resample_mask
from brainuad.images.seeds import rng_for
from brainuad.images.template import mni152

SPACING = 4.0


def make(seed: int, contrast: str = "T1w", lesions: str = "none") -> Phantom:
    return make_phantom(seed, contrast, lesions, SPACING)


def shift_to_rim(phantom: Phantom, healthy: Phantom) -> float:
    """Mean change by the lesion over the intensity of the brain."""
    change = phantom.image - healthy.image
    return float(change[phantom.lesion].mean() / np.median(healthy.image[healthy.brain]))


def test_a_seed_gives_the_same_head_whatever_was_drawn_before():
    first = make(7, lesions="mixed")
    make(8, "CT", "tumour")
    again = make(7, lesions="mixed")
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.lesion, again.lesion)
    assert not np.array_equal(first.image, make(9).image)


def test_contrasts_of_one_seed_have_the_same_head():
    t1, ct = make(3, "T1w", "stroke"), make(3, "CT", "stroke")
    np.testing.assert_array_equal(t1.brain, ct.brain)
    np.testing.assert_array_equal(t1.lesion, ct.lesion)
    np.testing.assert_array_equal(t1.template_to_scan, ct.template_to_scan)


def test_poses_stay_within_their_limits():
    poses = [draw_pose(rng_for(seed, "pose")) for seed in range(200)]
    assert 9 < np.abs([p.rotation for p in poses]).max() <= 10
    assert 9 < np.abs([p.translation for p in poses]).max() <= 10
    assert 0.06 < np.abs(np.array([p.scale for p in poses]) - 1).max() <= 0.08 + 1e-9
    assert np.abs([p.shear for p in poses]).max() <= 0.03


def test_the_brain_has_the_size_of_its_pose():
    template = mni152(SPACING).brain.sum()
    small = make_phantom(1, spacing=SPACING, pose=Pose(scale=(0.92, 0.92, 0.92)))
    large = make_phantom(1, spacing=SPACING, pose=Pose(scale=(1.08, 1.08, 1.08)))
    assert small.brain.sum() / template == pytest.approx(0.92**3, rel=0.06)
    assert large.brain.sum() / template == pytest.approx(1.08**3, rel=0.06)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_true_affine_lays_the_template_on_the_brain(seed):
    phantom, template = make(seed), mni152(SPACING)
    to_template = np.linalg.inv(phantom.template_to_scan)
    laid = resample_mask(template.brain, template.affine, phantom.brain.shape, phantom.affine, to_template)
    overlap = 2 * (laid & phantom.brain).sum() / (laid.sum() + phantom.brain.sum())
    assert overlap > 0.93
    assert phantom.residual < 6
    assert np.abs(phantom.template_to_scan - phantom.pose.matrix())[:3, :3].max() < 0.12


def test_the_whole_brain_lies_in_the_field_of_view():
    for seed in range(4):
        brain = make(seed).brain
        rim = np.ones_like(brain)
        rim[1:-1, 1:-1, 1:-1] = False
        assert not (brain & rim).any()


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        ("T1w", ["csf", "grey", "white"]),
        ("T2w", ["white", "grey", "csf"]),
        ("FLAIR", ["csf", "white", "grey"]),
        ("CT", ["csf", "white", "grey"]),
    ],
)
def test_tissues_have_the_order_of_the_contrast(contrast, order):
    phantom, template = make_phantom(5, contrast, spacing=SPACING, pose=Pose()), mni152(SPACING)
    lay = (phantom.brain.shape, phantom.affine, np.linalg.inv(phantom.template_to_scan))
    masks = {
        "white": resample_mask(template.white > 0.9, template.affine, *lay),
        "grey": resample_mask(template.grey > 0.7, template.affine, *lay),
        "csf": resample_mask((template.grey + template.white < 0.15) & template.brain, template.affine, *lay),
    }
    medians = [np.median(phantom.image[masks[name] & phantom.brain]) for name in order]
    assert medians == sorted(medians)
    assert medians[0] < medians[-1]


def test_a_ct_has_hounsfield_units():
    image = make(2, "CT").image
    assert np.median(image[:5, :5, -5:]) == pytest.approx(-1000, abs=60)
    assert 700 < image.max() < 1600


@pytest.mark.parametrize("lesion_type", ["ms", "tumour", "stroke", "haemorrhage", "subdural", "epidural"])
def test_lesions_lie_in_the_brain_and_change_nothing_elsewhere(lesion_type):
    lesioned, healthy = make(4, lesions=lesion_type), make(4)
    assert lesioned.lesion.any()
    assert not (lesioned.lesion & ~lesioned.brain).any()
    np.testing.assert_array_equal(lesioned.brain, healthy.brain)
    far = ~ndimage.binary_dilation(lesioned.lesion, iterations=3)
    changed = lesioned.image != healthy.image
    assert (changed & far).sum() < 0.05 * lesioned.lesion.sum()  # edges of parts too thin for a voxel
    assert changed[lesioned.lesion].mean() > 0.8
    assert not healthy.lesion.any()


@pytest.mark.parametrize(("contrast", "sign"), [("T1w", -1), ("FLAIR", 1), ("T2w", 1)])
def test_plaques_have_the_sign_of_the_contrast(contrast, sign):
    assert sign * shift_to_rim(make(6, contrast, "ms"), make(6, contrast)) > 0.03


@pytest.mark.parametrize(("lesion_type", "deepest"), [("subdural", 14), ("epidural", 24)])
def test_blood_outside_the_brain_is_bright_on_ct_and_lies_under_the_skull(lesion_type, deepest):
    made = make(3, "CT", lesion_type)
    depth = ndimage.distance_transform_edt(made.brain, sampling=SPACING)[made.lesion]
    assert depth.min() == SPACING
    assert 6 < depth.max() < deepest
    assert made.image[made.lesion].mean() > made.image[made.brain & ~made.lesion].mean() + 20
    sizes = np.bincount(ndimage.label(made.lesion)[0].ravel())[1:]
    assert sizes.max() > 0.95 * sizes.sum()  # one piece, but for crumbs at its edge


def test_mixed_lesions_are_dark_and_bright_on_t1_and_of_several_types():
    types, dark, bright = set(), 0, 0
    for seed in range(8):
        lesioned, healthy = make(seed, lesions="mixed"), make(seed)
        types.add(lesioned.lesion_type)
        change = (lesioned.image - healthy.image)[lesioned.lesion] / np.median(healthy.image[healthy.brain])
        dark += int((change < -0.1).sum())
        bright += int((change > 0.1).sum())
    assert len(types) >= 3
    assert dark > 100
    assert bright > 100


def test_a_finer_grid_has_the_same_head():
    coarse, fine = make(11), make_phantom(11, spacing=2.0)
    assert fine.brain.sum() * 8 == pytest.approx(coarse.brain.sum() * 64, rel=0.04)
    assert coarse.pose == fine.pose


def test_plaques_are_near_the_ventricles():
    anatomy = head(SPACING)
    assert anatomy.ventricle.min() == 0
    assert 5 < (anatomy.ventricle == 0).sum() * 0.064 < 80  # ml


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="PET"):
        make(0, "PET")
    with pytest.raises(InputError, match="cyst"):
        make(0, lesions="cyst")
