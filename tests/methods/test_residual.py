from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from brainuad.config.model import DEFAULT_SOURCE, ResidualMap, Standardised
from brainuad.errors import InputError
from brainuad.images.equalise import equalise
from brainuad.images.smooth import smooth_inside
from brainuad.methods.autoencoder import Settings as Autoencoder
from brainuad.methods.autoencoder.method import AutoencoderMethod
from brainuad.methods.base import TrainingScans
from brainuad.methods.shared.finishing import StandardisedMap
from brainuad.methods.shared.residual import Accumulator, Rescaling, Statistics, signed, standardise
from brainuad.methods.shared.residual_maps import ResidualMaps
from brainuad.methods.thresh_histeq import EqualisedIntensity
from brainuad.methods.thresh_histeq import Settings as ThreshHisteq
from brainuad.methods.zscore_atlas import AtlasDistance
from brainuad.methods.zscore_atlas import Settings as ZscoreAtlas

SHAPE, SPACING = (6, 7, 5), (2.0, 2.0, 2.0)
RNG = np.random.default_rng(0)


def full() -> np.ndarray:
    return np.ones(SHAPE, bool)


def test_statistics_equal_numpy_over_the_scans_that_cover_a_voxel():
    values = RNG.random((5, *SHAPE), dtype=np.float32)
    brains = RNG.random((5, *SHAPE)) < 0.7
    gathered = Accumulator(SHAPE)
    for image, brain in zip(values, brains, strict=True):
        gathered.add(image, brain)
    found = gathered.result()
    for index in np.ndindex(SHAPE):
        seen = values[:, *index][brains[:, *index]]
        assert found.coverage[index] == pytest.approx(len(seen) / 5)
        if len(seen) > 1:
            assert found.mean[index] == pytest.approx(seen.mean(), abs=1e-6)
            assert found.sd[index] == pytest.approx(seen.std(ddof=1), abs=1e-6)
        else:
            assert found.sd[index] == 0


def test_one_scan_has_no_standard_deviation():
    gathered = Accumulator(SHAPE)
    gathered.add(np.zeros(SHAPE, np.float32), full())
    with pytest.raises(InputError, match="too few healthy training scans"):
        gathered.result()


def test_standardise_floors_the_sd_and_leaves_out_what_few_brains_cover():
    sd, coverage = np.full(SHAPE, 2, np.float32), np.ones(SHAPE, np.float32)
    sd[0, 0, 0], coverage[1, 1, 1], sd[2, 2, 2] = 0.01, 0.5, 0
    healthy = Statistics(np.ones(SHAPE, np.float32), sd, coverage)
    brain = full()
    brain[3, 3, 3] = False
    z = standardise(np.full(SHAPE, 5, np.float32), brain, healthy, Standardised(sd_floor=0.5, min_coverage=0.8))
    assert z[5, 5, 4] == 2
    assert z[0, 0, 0] == 4  # sd 0.01 counts as half the median
    assert z[1, 1, 1] == z[2, 2, 2] == z[3, 3, 3] == 0


def test_signs():
    values = np.array([[[-2.0, 3.0]]], dtype=np.float32)
    assert signed(values, "bright").tolist() == [[[-2, 3]]]
    assert signed(values, "dark").tolist() == [[[2, -3]]]
    assert signed(values, "both").tolist() == [[[2, 3]]]


@pytest.mark.parametrize(
    ("residual", "sign", "expected"),
    [
        ("absolute", "dark", 0.25),
        ("absolute", "bright", 0.25),
        ("signed", "bright", -0.25),
        ("signed", "dark", 0.25),
        ("signed", "both", 0.25),
    ],
)
def test_the_residual_follows_the_sign_of_the_lesions(residual, sign, expected):
    method = AutoencoderMethod(Autoencoder(family="autoencoder", network={"size": 16}, map={"residual": residual}))
    image, rebuilt = np.full(SHAPE, 0.5, np.float32), np.full(SHAPE, 0.75, np.float32)
    found = method.residual_map(image, rebuilt, full(), SPACING, sign)
    np.testing.assert_allclose(found, expected)


def test_standardised_residuals_use_the_statistics_of_signed_or_absolute_residuals():
    settings = ResidualMap(residual="signed", standardise="training")
    method = AutoencoderMethod(Autoencoder(family="autoencoder", network={"size": 16}, map=settings))
    ones = np.ones(SHAPE, np.float32)
    method.residuals.statistics["training"] = {
        "signed": Statistics(0 * ones, ones, ones),
        "absolute": Statistics(ones, 2 * ones, ones),
    }
    image, rebuilt = 0 * ones, 3 * ones
    np.testing.assert_allclose(method.residual_map(image, rebuilt, full(), SPACING, "dark"), 3)
    np.testing.assert_allclose(method.residual_map(image, rebuilt, full(), SPACING, "both"), 3)
    method.residuals.settings = ResidualMap(residual="absolute", standardise="training")
    np.testing.assert_allclose(method.residual_map(image, rebuilt, full(), SPACING, "dark"), 1)
    for source, do in (("held_out", "validation above 0"), ("crossfit", "train.crossfit")):
        method.residuals.settings = ResidualMap(standardise=source)
        with pytest.raises(InputError, match=f"no {source} residuals") as caught:
            method.residual_map(image, rebuilt, full(), SPACING, "dark")
        assert do in str(caught.value.do)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (ResidualMap(), set()),
        (ResidualMap(residual="signed", standardise="training"), {"training_signed"}),
        (ResidualMap(standardise="held_out"), {"held_out_absolute"}),
        (ResidualMap(standardise="crossfit"), set()),
    ],
)
def test_maps_keep_the_statistics_that_they_read_alone(settings, kept):
    ones = np.ones(SHAPE, np.float32)
    made = ResidualMaps("any", ResidualMap())
    each = {"signed": Statistics(ones, ones, ones), "absolute": Statistics(2 * ones, ones, ones)}
    made.learn(each, {})
    made.learn_held_out({name: Rescaling(statistics, SPACING) for name, statistics in each.items()})
    loaded = ResidualMaps("any", settings)
    loaded.load(made.state())
    parts = "mean", "sd", "coverage"
    assert loaded.state().keys() == {f"residual_{name}_{part}" for name in kept for part in parts}
    for name, array in loaded.state().items():
        np.testing.assert_array_equal(array, made.state()[name])


@pytest.mark.parametrize(
    ("written", "meant"),
    [(False, False), (True, DEFAULT_SOURCE), ("training", "training"), ({"from": "held_out"}, "held_out")],
)
def test_spellings_of_the_source_of_residual_statistics(written, meant):
    assert ResidualMap(standardise=written).standardise == meant


@pytest.mark.parametrize("written", ["test", {"from": "test"}, {"of": "training"}, 1.5])
def test_other_sources_of_residual_statistics_are_refused(written):
    with pytest.raises(ValidationError, match="standardise"):
        ResidualMap(standardise=written)


def test_held_out_scans_scale_the_sd_by_region_and_leave_its_pattern_and_the_mean():
    shape, rng = (60, 12, 12), np.random.default_rng(3)
    ones, left = np.ones(shape, np.float32), np.arange(60)[:, None, None] < 30
    pattern = rng.uniform(0.5, 2, shape).astype(np.float32)
    training = Statistics(0.25 * ones, pattern, ones)
    scale = Rescaling(training, SPACING)
    for _ in range(6):
        wider = np.where(left, 2.0, 1.0) * pattern
        scale.add((0.25 + wider * rng.normal(size=shape)).astype(np.float32), np.ones(shape, bool))
    found = scale.result()
    ratio = found.sd / pattern
    np.testing.assert_allclose(ratio[:10], 2, rtol=0.1)
    np.testing.assert_allclose(ratio[-10:], 1, rtol=0.1)
    np.testing.assert_array_equal(found.mean, training.mean)


def test_without_held_out_brain_the_sd_stays_that_of_the_training_scans():
    training = Statistics(*(np.full(SHAPE, value, np.float32) for value in (0.1, 0.5, 1.0)))
    np.testing.assert_array_equal(Rescaling(training, SPACING).result().sd, training.sd)


@pytest.mark.parametrize("residual", ["signed", "absolute"])
@pytest.mark.parametrize(("size", "fit", "at", "marks"), [
    (8, "resize", "scan", True),
    (8, "resize", "network", False),
    (24, "pad", "scan", False),
    (24, "pad", "network", False),
    (8, "pad", "network", False),
])  # fmt: skip
def test_an_identity_network_marks_what_resizing_loses_and_nothing_else(size, fit, at, marks, residual):
    grid = {"size": size, "fit": fit, "channels": [2, 4]}
    settings = {"residual": residual, "residual_at": at}
    method = AutoencoderMethod(Autoencoder(family="autoencoder", network=grid, train={"steps": 1}, map=settings))
    method.reconstruct_batch = lambda batch: batch  # a network that returns its input
    image = np.random.default_rng(0).random((16, 20, 5), dtype=np.float32)
    anomaly, rebuilt = method.predict(image, np.ones(image.shape, bool), SPACING, "both")
    assert (np.abs(anomaly).max() > 0.1) == marks
    assert marks or not anomaly.any()
    if fit == "pad":
        np.testing.assert_array_equal(rebuilt, image)


def test_a_residual_at_the_networks_resolution_is_brought_back_to_the_scan():
    grid = {"size": 8, "fit": "resize", "channels": [2, 4]}
    method = AutoencoderMethod(
        Autoencoder(family="autoencoder", network=grid, train={"steps": 1}, map={"residual_at": "network"})
    )
    method.reconstruct_batch = lambda batch: 0 * batch
    image = np.zeros((16, 16, 3), np.float32)
    image[4:10, 4:10] = 1
    anomaly, _ = method.predict(image, np.ones(image.shape, bool), SPACING, "both")
    np.testing.assert_allclose(anomaly[6:8, 6:8], 1, atol=0.1)
    assert anomaly[14, 14].max() < 0.01
    assert 0 < anomaly[3, 6, 1] < 1


def test_a_signed_residual_is_smoothed_before_its_size_is_taken():
    noise = np.random.default_rng(1).normal(size=(16, 16, 16)).astype(np.float32)
    brain, nothing = np.ones_like(noise, bool), np.zeros_like(noise)
    found = {}
    for residual in ("absolute", "signed"):
        settings = {"residual": residual, "smooth_mm": 4.0}
        method = AutoencoderMethod(Autoencoder(family="autoencoder", network={"size": 16}, map=settings))
        found[residual] = method.residual_map(noise, nothing, brain, SPACING, "both").mean()
    assert found["signed"] < 0.3 * found["absolute"]


def test_smoothing_keeps_a_constant_up_to_the_edge_of_the_brain():
    brain = np.zeros((20, 20, 20), bool)
    brain[4:15, 5:16, 3:17] = True
    image = np.where(brain, 2.0, 100.0).astype(np.float32)
    smooth = smooth_inside(image, brain, 4.0, SPACING)
    np.testing.assert_allclose(smooth[brain], 2, rtol=1e-5)
    assert not smooth[~brain].any()


def test_smoothing_is_measured_in_millimetres():
    image = np.zeros((31, 31, 31), np.float32)
    image[15, 15, 15] = 1
    smooth = smooth_inside(image, np.ones_like(image, bool), 4.0, (1.0, 2.0, 4.0))
    positions = np.arange(31) - 15.0
    for axis, size in enumerate((1.0, 2.0, 4.0)):
        profile = smooth.sum(axis=tuple(a for a in range(3) if a != axis))
        assert np.sqrt((profile * positions**2).sum() / profile.sum()) * size == pytest.approx(4.0, rel=0.05)


def test_equalising_makes_the_brain_uniform_and_keeps_the_order():
    image = RNG.normal(size=(20, 20, 20)).astype(np.float32)
    brain = RNG.random((20, 20, 20)) < 0.5
    levels = equalise(image, brain, 1 << 20)
    np.testing.assert_allclose(np.quantile(levels[brain], [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.01)
    order = np.argsort(image[brain])
    assert (np.diff(levels[brain][order]) >= 0).all()
    assert not levels[~brain].any()


def test_equalising_a_scan_in_0_to_1_keeps_its_levels_distinct():
    image = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10)
    assert len(np.unique(equalise(image, np.ones_like(image, bool), 4096))) == 1000  # T10: never as integers


def test_the_equalised_map_looks_for_dark_bright_or_both():
    image = np.linspace(0, 1, 1000, dtype=np.float32).reshape(10, 10, 10)
    method, brain = EqualisedIntensity(ThreshHisteq(family="thresh_histeq")), np.ones_like(image, bool)
    bright, dark, both = (method.anomaly_map(image, brain, SPACING, sign) for sign in ("bright", "dark", "both"))
    assert bright.argmax() == 999
    assert dark.argmax() == 0
    assert both[9, 9, 9] == pytest.approx(1)
    assert both[0, 0, 0] == pytest.approx(0.998)
    assert both[5, 0, 0] < 0.01


def test_z_score_by_hand():
    settings = ZscoreAtlas(family="zscore_atlas", smooth_mm=0, map=StandardisedMap(smooth_mm=0))
    method = AtlasDistance(settings)
    with pytest.raises(InputError, match="no atlas yet"):
        method.anomaly_map(np.zeros(SHAPE, np.float32), full(), SPACING, "both")
    images = [np.full(SHAPE, value, np.float32) for value in (1, 2, 3)]
    method.fit(TrainingScans(images, [full()] * 3, SPACING))
    scan = np.full(SHAPE, -0.5, np.float32)
    for sign, expected in (("bright", -2.5), ("dark", 2.5), ("both", 2.5)):
        np.testing.assert_allclose(method.anomaly_map(scan, full(), SPACING, sign), expected, rtol=1e-6)


def test_the_methods_section_says_where_an_absolute_map_does_not_follow_the_sign_of_lesions():
    said = {sign: " ".join(ResidualMap(residual="absolute").describe(sign)) for sign in ("dark", "bright", "both")}
    assert "darker than its reconstruction counts as well" in said["bright"]
    assert "brighter than its reconstruction counts as well" in said["dark"]
    assert "counts as well" not in said["both"]
