"""Methods without gradient training, on tiny grids; their model files run in tests/methods/test_every_model.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from brainuad.errors import InputError
from brainuad.images.smooth import smooth_inside
from brainuad.methods import registry
from brainuad.methods.base import Method, TrainingScans
from brainuad.methods.pca import principal_components, robust_fit

SHAPE, SPACING = (17, 18, 8), (4.0, 4.0, 4.0)
BRAIN = sum(axis**2 for axis in np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")) < 1.2
LESION = np.zeros(SHAPE, bool)
LESION[4:7, 8:11, 3:6] = True
SIGNED: list[dict[str, Any]] = [
    {"family": "zscore_atlas"},
    {"family": "zscore_mirror"},
    {"family": "zscore_mirror", "map": {"of": "sum"}},
    {"family": "matched_filter"},
    {"family": "matched_filter", "lesion_mm": 3},
    {"family": "matched_filter", "difference_smooth_mm": [], "gaussian": {"mirror": False}},
    {"family": "pca", "components": 2},
    {"family": "gaussian_features", "map": {"signed": True}},
    {"family": "knn_memory", "remembered": 6, "map": {"signed": True}},
]
UNSIGNED: list[dict[str, Any]] = [{"family": "gaussian_features"}, {"family": "knn_memory", "remembered": 6}]


def scans(count: int, seed: int, anatomy: float = 0.1) -> TrainingScans:
    """Scans that differ in a smooth gradient and in noise."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    images = [
        (0.5 + 0.2 * np.cos(3 * x) + anatomy * rng.normal() * y + 0.04 * rng.normal(size=SHAPE)) * BRAIN
        for _ in range(count)
    ]
    return TrainingScans([each.astype(np.float32) for each in images], [BRAIN] * count, SPACING)


def fitted(settings: dict[str, Any], training: TrainingScans | None = None) -> Method:
    method = registry.build(registry.validate(settings))
    method.initialise(0)
    method.fit(training or scans(12, 0))
    return method


def ids(settings: dict[str, Any]) -> str:
    return "-".join([settings["family"], *map(str, settings.get("map", {}).values())])


@pytest.mark.parametrize("settings", SIGNED + UNSIGNED, ids=ids)
def test_finds_a_dark_lesion_and_comes_back_bit_by_bit(settings):
    method = fitted(settings)
    image = scans(1, 7).images[0] - 0.12 * LESION
    anomaly = method.anomaly_map(image, BRAIN, SPACING, "dark")
    found = average_precision_score(LESION[BRAIN], anomaly[BRAIN])
    assert found > 0.5 > 20 * LESION[BRAIN].mean()
    if settings in SIGNED:
        bright = method.anomaly_map(image, BRAIN, SPACING, "bright")
        np.testing.assert_array_equal(bright, -anomaly)
        np.testing.assert_array_equal(method.anomaly_map(image, BRAIN, SPACING, "both"), np.abs(anomaly))

    again = registry.build(registry.validate(settings))
    with pytest.raises(InputError, match=r"train|lacks"):
        again.anomaly_map(image, BRAIN, SPACING, "dark")
    with pytest.raises(InputError, match="lacks"):
        again.load({})
    again.load(method.state())
    np.testing.assert_array_equal(again.anomaly_map(image, BRAIN, SPACING, "dark"), anomaly)
    assert all(array.dtype != object for array in method.state().values())


@pytest.mark.parametrize("settings", SIGNED + UNSIGNED, ids=ids)
def test_what_is_learnt_does_not_grow_with_the_number_of_scans(settings):
    few, many = (fitted(settings, scans(count, 0)).state() for count in (6, 9))
    assert sum(each.nbytes for each in few.values()) == sum(each.nbytes for each in many.values())


@pytest.mark.parametrize("settings", SIGNED + UNSIGNED, ids=ids)
def test_says_how_it_works_and_leaves_no_setting_out(settings):
    model = registry.validate(settings)
    said = " ".join([*model.describe(), *model.map.describe("dark")])
    assert "Further settings" not in said


def test_the_left_right_difference_is_blind_to_what_both_sides_have():
    both_sides = LESION | LESION[::-1]
    image = scans(1, 7).images[0] - 0.12 * both_sides
    difference, total = (
        fitted({"family": "zscore_mirror", "map": {"of": of}}).anomaly_map(image, BRAIN, SPACING, "dark")
        for of in ("difference", "sum")
    )
    assert abs(difference[both_sides].mean()) < 0.2
    assert total[both_sides].mean() > 1


@pytest.mark.parametrize("size", [None, 3])
def test_the_matched_filter_is_that_of_its_formula(size):
    gaussian = {"pool_mm": 0, "sd_added": 0, "ridge": 0.2, "mirror": False}
    training, new = scans(9, 0), scans(1, 3)
    settings = {"family": "matched_filter", "smooth_mm": [0, 6], "difference_smooth_mm": [6], "gaussian": gaussian}
    settings["lesion_mm"] = size
    found = fitted(settings | {"map": {"smooth_mm": 0}}, training).anomaly_map(new.images[0], BRAIN, SPACING, "bright")

    def features(image: np.ndarray) -> np.ndarray:
        smooth = smooth_inside(image, BRAIN, 6, SPACING)
        return np.array([each[5, 9, 4] for each in (image, smooth, smooth - smooth[::-1])])

    values = np.stack([features(each) for each in training.images])
    mean, sd = values.mean(0), values.std(0, ddof=1)
    covariance = np.cov(((values - mean) / sd).T) + 0.2 * np.eye(3)
    kept = (9 / (9 + 36)) ** 1.5
    lesion = np.array([1, 1, 0.8]) if size is None else np.array([1, kept, 0.8 * kept]) / sd
    weights = np.linalg.solve(covariance, lesion)
    expected = weights @ ((features(new.images[0]) - mean) / sd) / np.sqrt(lesion @ weights)
    assert found[5, 9, 4] == pytest.approx(expected, rel=1e-3)


def test_components_merged_on_the_way_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 3)) * [9, 5, 3] @ rng.normal(size=(3, 200)) + 0.1 * rng.normal(size=(50, 200))
    found = principal_components(iter(rows.astype(np.float32)), 3)
    expected = np.linalg.svd(rows, full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs(found @ expected.T), np.eye(3), atol=0.01)
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-4)
    assert len(principal_components(iter(rows[:2].astype(np.float32)), 3)) == 2


def test_a_robust_fit_leaves_an_outlier_out():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(400, 2)))[0].T.astype(np.float32)
    truth = np.array([3, -2], np.float32) @ basis
    values = truth + 0.01 * rng.normal(size=400).astype(np.float32)
    values[:60] -= 1
    plain, robust = (np.abs(robust_fit(values, basis, steps) - truth).max() for steps in (0, 8))
    assert robust < 0.02 < plain


def test_the_memory_counts_no_place_outside_a_training_brain():
    training = scans(12, 0)
    smaller = BRAIN & (np.arange(SHAPE[0]) >= 6)[:, None, None]  # without most of the lesion's place
    image = scans(1, 7).images[0] - 0.12 * LESION
    settings = {"family": "knn_memory", "remembered": 6}
    whole = fitted(settings, training).anomaly_map(image, BRAIN, SPACING, "dark")
    brains = [smaller, *training.brains[1:]]
    images = [image * brain for image, brain in zip(training.images, brains, strict=True)]
    one_smaller = fitted(settings, TrainingScans(images, brains, SPACING)).anomaly_map(image, BRAIN, SPACING, "dark")
    assert one_smaller[LESION].mean() > 0.5 * whole[LESION].mean()
