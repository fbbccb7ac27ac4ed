from __future__ import annotations

import numpy as np
import pytest

from brainuad.config.recipe import Intensity
from brainuad.errors import InputError
from brainuad.normalize.intensity import fit, scale

RNG = np.random.default_rng(0)
BRAIN = np.zeros((12, 14, 10), bool)
BRAIN[2:-2, 2:-2, 2:-2] = True


def head(gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    image = RNG.normal(100, 20, BRAIN.shape).astype(np.float32) * gain + offset
    return np.where(BRAIN, image, 0)


@pytest.mark.parametrize("method", ["percentile", "zscore", "nyul", "histogram"])
def test_gain_and_offset_of_the_scanner_are_removed(method):
    settings = Intensity(method=method, clip=None)
    image = head()
    learnt = fit([(head(), BRAIN), (head(3, 5), BRAIN)], settings)
    one = scale(image, BRAIN, settings, learnt)
    other = scale(np.where(BRAIN, image * 7 + 40, 0), BRAIN, settings, learnt)
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert not one[~BRAIN].any()


def test_percentiles_go_to_zero_and_one():
    settings = Intensity(percentiles=(5, 95), clip=None)
    values = scale(head(), BRAIN, settings, {})[BRAIN]
    np.testing.assert_allclose(np.percentile(values, [5, 95]), [0, 1], atol=1e-5)


def test_the_window_is_fixed_and_clipped():
    image = np.where(BRAIN, np.linspace(-500, 500, BRAIN.size).reshape(BRAIN.shape), 0)
    values = scale(image, BRAIN, Intensity(method="window", window=(-20, 100), clip=(0, 1)), {})[BRAIN]
    assert values.min() == 0
    assert values.max() == 1
    inside = (image[BRAIN] > -20) & (image[BRAIN] < 100)
    np.testing.assert_allclose(values[inside], (image[BRAIN][inside] + 20) / 120, atol=1e-6)


def test_nyul_maps_quantiles_to_landmarks():
    settings = Intensity(method="nyul", percentiles=(1, 99), clip=None)
    learnt = fit([(head() ** 1.2, BRAIN) for _ in range(3)], settings)
    values = scale(head(), BRAIN, settings, learnt)[BRAIN]
    levels = [1, *range(10, 100, 10), 99]
    np.testing.assert_allclose(np.percentile(values, levels), learnt["landmarks"], atol=1e-2)


def test_a_linear_trend_is_removed_but_a_lesion_stays():
    tissue = np.where(BRAIN, RNG.uniform(0.6, 1.0, BRAIN.shape), 0).astype(np.float32)
    learnt = fit([(tissue, BRAIN)] * 2, Intensity(method="window", window=(0, 1), bias_fit="linear", clip=None))
    trend = np.linspace(0.8, 1.2, BRAIN.shape[0])[:, None, None]
    lesioned = tissue * trend
    lesioned[5:7, 5:7, 4:6] *= 0.5
    fixed = Intensity(method="window", window=(0, 1), bias_fit="linear", clip=None)
    out = scale(lesioned.astype(np.float32), BRAIN, fixed, learnt)
    ratio = out[BRAIN] / tissue[BRAIN]
    assert abs(np.median(ratio) - 1) < 0.02
    np.testing.assert_allclose(out[5:7, 5:7, 4:6] / tissue[5:7, 5:7, 4:6], 0.5, atol=0.05)


def test_what_cannot_be_scaled_is_refused():
    with pytest.raises(InputError, match="the brain mask is empty"):
        scale(head(), np.zeros_like(BRAIN), Intensity(), {})
    with pytest.raises(InputError, match="no contrast"):
        scale(np.ones(BRAIN.shape, np.float32), BRAIN, Intensity(), {})
    with pytest.raises(InputError, match="no training subject"):
        fit([], Intensity(method="nyul"))
    with pytest.raises(InputError, match="no training subject"):
        fit([], Intensity(bias_fit="linear"))


def test_the_peak_of_white_matter_is_scaled_to_its_setting():
    rng = np.random.default_rng(1)
    brain = np.ones((40, 40, 20), bool)
    tissue = rng.choice([30.0, 70.0, 110.0], p=[0.15, 0.5, 0.35], size=brain.shape)
    image = (tissue + rng.normal(0, 6, brain.shape)).astype(np.float32)
    image.ravel()[:200] = 400  # a lesion or a vessel does not set the scale
    settings = Intensity(method="white", white=0.75, clip=(0, 1))
    for gain in (1, 9):
        scaled = scale(image * gain, brain, settings, {})
        assert np.median(scaled[tissue == 110]) == pytest.approx(0.75, abs=0.02)
    assert scaled.max() == 1
