from __future__ import annotations

import numpy as np
import pytest

from brainuad.errors import InputError
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.healthy_atlas import (
    AtlasSettings,
    Feature,
    HealthyAtlas,
    as_input,
    left_right_difference,
    mirrored,
)

SHAPE, SPACING = (9, 8, 6), (2.0, 2.0, 2.0)
FEATURES = [Feature(), Feature(4.0), Feature(4.0, difference=True)]


def scans(count: int, seed: int = 0) -> TrainingScans:
    rng = np.random.default_rng(seed)
    brains = [np.ones(SHAPE, bool) for _ in range(count)]
    for brain in brains:
        brain[rng.integers(9), rng.integers(8), rng.integers(6)] = False
        brain[:, :, 0] = False
    images = [(rng.random(SHAPE) * brain).astype(np.float32) for brain in brains]
    return TrainingScans(images, brains, SPACING)


def fitted(training: TrainingScans, **settings: float) -> HealthyAtlas:
    atlas = HealthyAtlas(FEATURES, AtlasSettings(**settings))
    atlas.fit(training)
    return atlas


def test_z_is_that_of_numpy_with_the_stated_floor():
    training = scans(6)
    atlas = fitted(training, variance_smooth_mm=0, sd_added=0.5, min_coverage=1)
    everywhere = np.all(training.brains, axis=0)
    values = np.stack(training.images)
    sd = values.std(0, ddof=1)
    new = scans(1, seed=5)
    expected = (new.images[0] - values.mean(0)) / (sd + 0.5 * np.median(sd[everywhere]))
    found = atlas.z(new.images[0], new.brains[0], SPACING, Feature())
    inside = everywhere & new.brains[0]
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-4)
    assert not found[~inside].any()
    assert found.dtype == np.float32


@pytest.mark.parametrize("feature", FEATURES, ids=lambda each: each.name)
def test_a_training_scan_is_left_out_as_if_it_had_never_been_there(feature):
    training = scans(7)
    image, brain = training.images[2], training.brains[2]
    others = TrainingScans(
        [each for i, each in enumerate(training.images) if i != 2],
        [each for i, each in enumerate(training.brains) if i != 2],
        SPACING,
    )
    reference = fitted(training).reference_without(image, brain, SPACING, feature)
    found = reference.z(feature.of(image, brain, SPACING), feature.seen(brain))
    np.testing.assert_allclose(found, fitted(others).z(image, brain, SPACING, feature), atol=2e-4)
    with_itself = fitted(training).z(image, brain, SPACING, feature)
    assert np.abs(found).mean() > 1.05 * np.abs(with_itself).mean()


def test_the_difference_changes_its_sign_under_mirroring_and_needs_both_sides():
    image, brain = scans(1).images[0], np.ones(SHAPE, bool)
    brain[1, 2, 3] = False
    difference = left_right_difference(image, brain)
    assert difference[1, 2, 3] == difference[7, 2, 3] == 0
    np.testing.assert_array_equal(mirrored(difference), -difference)
    assert not difference[4].any(), "the midline has no other side"
    assert mirrored(np.zeros((3, *SHAPE))).shape == (3, *SHAPE)


def test_comes_back_from_its_state_bit_by_bit():
    training = scans(5)
    atlas = fitted(training)
    again = HealthyAtlas(FEATURES)
    with pytest.raises(InputError, match="train"):
        again.reference(Feature(), SPACING)
    again.load(atlas.state("own"), "own")
    for feature in FEATURES:
        for one, other in zip(
            vars(atlas.reference(feature, SPACING)).values(),
            vars(again.reference(feature, SPACING)).values(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="lacks"):
        again.load({}, "own")


def test_refuses_one_scan_and_clips_what_a_network_sees():
    with pytest.raises(InputError, match="too few healthy training scans"):
        fitted(scans(1))
    assert as_input(np.array([-20.0, 3.0, 9.0])).tolist() == [-4, 1.5, 4]


def test_a_part_of_the_reference_gives_a_part_of_the_map():
    training = scans(5)
    reference, part = fitted(training).reference(Feature(), SPACING), np.s_[:, :, 2:5]
    image, brain = training.images[0], training.brains[0]
    np.testing.assert_array_equal(reference.part(part).z(image[part], brain[part]), reference.z(image, brain)[part])
