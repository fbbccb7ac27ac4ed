from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from brainuad.config.anomalies import Anomaly, AnomalyType, CorruptionType, ScanCorruption
from brainuad.errors import InputError
from brainuad.images.anomalies import INSIDE, plant_anomaly
from brainuad.images.corrupt_scan import corrupt_scan
from brainuad.images.seeds import rng_for

SHAPE = (61, 70, 58)
AFFINE = np.array([[2.0, 0, 0, -60], [0, 2, 0, -70], [0, 0, 2, -58], [0, 0, 0, 1]])
PLAIN = Anomaly(radius_mm=(8, 14))
ANOMALIES, CORRUPTIONS = get_args(AnomalyType), get_args(CorruptionType)


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    index = np.indices(SHAPE).astype(float)
    return sum((index[i] - centre[i]) ** 2 for i in range(3)) < radius**2


@pytest.fixture(scope="module")
def scan() -> tuple[np.ndarray, np.ndarray]:
    """Tissue of about 1000 with smooth texture and fluid of 300 off the middle; the brain is a ball of 50 mm."""
    brain = ball((30, 35, 29), 25)
    texture = 150 * ndimage.gaussian_filter(rng_for(0, "texture").standard_normal(SHAPE), 2) * 10
    image = np.where(ball((34, 45, 33), 7), 300.0, 1000.0 + texture)
    return (image * brain).astype(np.float32), brain


@pytest.mark.parametrize("shape", ["sphere", "blob"])
@pytest.mark.parametrize("anomaly_type", ANOMALIES)
def test_an_anomaly_changes_the_voxels_of_its_mask_and_no_others(scan, anomaly_type, shape):
    image, brain = scan
    kept, settings = image.copy(), PLAIN.model_copy(update={"shape": shape})
    for draw in range(3):
        planted, truth = plant_anomaly(image, brain, anomaly_type, rng_for(draw, anomaly_type), settings)
        assert truth.any()
        assert not truth[~brain].any()
        away = ndimage.distance_transform_edt(~truth) * 2 > settings.edge_mm + 2
        np.testing.assert_array_equal(planted[~brain], image[~brain])
        np.testing.assert_array_equal(planted[away], image[away])
        changed = np.abs(planted - image) > 1
        assert changed[truth].mean() > 0.7
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("anomaly_type", ANOMALIES)
def test_an_anomaly_depends_on_its_seed_alone(scan, anomaly_type):
    one, two, other = (plant_anomaly(*scan, anomaly_type, rng_for(seed, anomaly_type), PLAIN) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert (one[1] != other[1]).any()


def test_a_sphere_has_its_size(scan):
    for draw in range(4):
        settings = Anomaly(shape="sphere", radius_mm=(10, 10))
        _, truth = plant_anomaly(*scan, "uniform", rng_for(draw, "x"), settings)
        whole = 4 / 3 * np.pi * 5**3
        assert INSIDE * whole * 0.95 < truth.sum() < 1.05 * whole
        widest = max(np.ptp(axis) + 1 for axis in np.nonzero(truth))
        assert widest <= 11, "voxels of 2 mm"


def test_a_blob_is_connected_and_no_sphere(scan):
    for draw in range(6):
        _, truth = plant_anomaly(*scan, "uniform", rng_for(draw, "x"), PLAIN)
        sizes = np.bincount(ndimage.label(truth, np.ones((3, 3, 3)))[0].ravel())[1:]
        assert sizes.max() / sizes.sum() > 0.98, "but for what the brain's rim cuts off"
        reach = [np.ptp(axis) + 1 for axis in np.nonzero(truth)]
        assert truth.sum() < 0.9 * np.pi / 6 * max(reach) ** 3


def test_centres_lie_in_the_grid_of_the_models(scan):
    image, brain = scan
    seen = np.zeros(SHAPE, bool)
    seen[:, :, 40:42] = True
    for draw in range(5):
        settings = Anomaly(shape="sphere", radius_mm=(8, 8))
        _, truth = plant_anomaly(image, brain, "uniform", rng_for(draw, "x"), settings, seen=seen)
        assert truth[seen].any()
    with pytest.raises(InputError, match="finds no place"):
        plant_anomaly(image, brain, "uniform", rng_for(0, "x"), PLAIN, seen=seen & False)


def test_strength_is_in_units_of_fluid_to_tissue(scan):
    image, brain = scan
    settings = Anomaly(shape="sphere", radius_mm=(12, 12), strength=(0.5, 0.5))
    planted, truth = plant_anomaly(image, brain, "uniform", rng_for(3, "x"), settings)
    core = ndimage.binary_erosion(truth)
    assert np.abs(planted - image)[core] == pytest.approx(350, rel=0.25)
    assert np.ptp((planted - image)[core]) < 1
    sprite, truth = plant_anomaly(image, brain, "sprite", rng_for(3, "x"), settings)
    assert np.ptp(sprite[truth]) == 0, "of one intensity up to its border"


def test_blur_smooths_and_shift_copies_tissue_of_another_place(scan):
    image, brain = scan
    blurred, truth = plant_anomaly(image, brain, "blur", rng_for(1, "x"), PLAIN.model_copy(update={"strength": (1, 1)}))
    rough = [
        np.abs(ndimage.laplace(each))[ndimage.binary_erosion(truth, iterations=2)].mean() for each in (blurred, image)
    ]
    assert rough[0] < 0.5 * rough[1]
    moved, truth = plant_anomaly(image, brain, "shift", rng_for(1, "x"), PLAIN)
    core = ndimage.binary_erosion(truth, iterations=2)
    assert np.isin(moved[core], image[brain]).all(), "a copy, voxel by voxel"
    mirrored, truth = plant_anomaly(image, brain, "reflection", rng_for(1, "x"), PLAIN)
    assert np.isin(mirrored[ndimage.binary_erosion(truth, iterations=2)], image[brain]).all()


def test_an_anomaly_that_cannot_lie_in_the_brain_is_refused(scan):
    image, _ = scan
    with pytest.raises(InputError, match="finds no place"):
        plant_anomaly(
            image, ball((30, 35, 29), 12), "uniform", rng_for(0, "x"), Anomaly(shape="sphere", radius_mm=(50, 50))
        )


@pytest.mark.parametrize("corruption_type", CORRUPTIONS)
def test_a_corrupted_scan_differs_much_from_the_original_and_is_0_outside_its_mask(scan, corruption_type):
    image, brain = scan
    kept = image.copy()
    bad, mask = corrupt_scan(image, brain, AFFINE, corruption_type, rng_for(0, corruption_type), ScanCorruption())
    again, _ = corrupt_scan(image, brain, AFFINE, corruption_type, rng_for(0, corruption_type), ScanCorruption())
    np.testing.assert_array_equal(bad, again)
    np.testing.assert_array_equal(image, kept)
    assert not bad[~mask].any()
    assert (np.abs(bad - image) > 100)[brain | mask].mean() > 0.03
    if corruption_type in ("noise", "hole", "cut_slices"):
        np.testing.assert_array_equal(mask, brain)
    if corruption_type in ("hole", "cut_slices"):
        gone = brain & (bad == 0)
        np.testing.assert_array_equal(bad[~gone], image[~gone])
    if corruption_type == "cut_slices":
        assert {0.0, 1.0} == {float(share) for share in gone.sum(axis=(0, 1)) / np.maximum(brain.sum(axis=(0, 1)), 1)}


def test_a_quarter_turn_and_a_flip_keep_every_value(scan):
    image, brain = scan
    for corruption_type in ("rotated", "flipped_axis"):
        bad, mask = corrupt_scan(image, brain, AFFINE, corruption_type, rng_for(2, corruption_type), ScanCorruption())
        assert mask.sum() == pytest.approx(brain.sum(), rel=0.01)
        np.testing.assert_allclose(np.sort(bad[mask])[::997][:50], np.sort(image[brain])[::997][:50], atol=15)


def test_a_misregistered_scan_is_shifted_by_the_distance_of_the_settings(scan):
    image, brain = scan
    for seed in range(4):
        _, mask = corrupt_scan(
            image, brain, AFFINE, "misregistered", rng_for(seed, "x"), ScanCorruption(shift_mm=(8, 10))
        )
        way = (np.argwhere(mask).mean(axis=0) - np.argwhere(brain).mean(axis=0)) * 2
        assert 7.5 < np.linalg.norm(way) < 10.5


def test_ranges_must_rise_within_their_bounds():
    for wrong in ({"radius_mm": (20, 6)}, {"radius_mm": (0, 6)}, {"strength": (1, 9)}):
        with pytest.raises(ValidationError, match="rising"):
            Anomaly(**wrong)
    with pytest.raises(ValidationError, match="cut_mm must be two rising"):
        ScanCorruption(cut_mm=(30, 10))
