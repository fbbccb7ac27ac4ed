from __future__ import annotations

import numpy as np
import pytest

from brainuad.images.fields import smooth_field, upsample
from brainuad.images.seeds import rng_for, seed_words


@pytest.mark.parametrize("sigma", [0.7, 2.0, 6.0])
def test_a_field_has_unit_standard_deviation_and_the_requested_smoothness(sigma):
    fields = np.stack([smooth_field(rng_for(seed, "f"), (40, 44, 36), sigma) for seed in range(30)])
    assert abs(fields.mean()) < 0.1
    assert fields.std() == pytest.approx(1, abs=0.1)
    lag = max(1, round(sigma))
    near = np.mean(fields[:, lag:] * fields[:, :-lag]) / fields.var()
    assert near == pytest.approx(np.exp(-((lag / sigma) ** 2) / 4), abs=0.08)  # autocorrelation of Gaussian smoothing


def test_upsampling_keeps_straight_lines():
    ramp = np.broadcast_to(np.linspace(0, 1, 5)[:, None, None], (5, 3, 3))
    fine = upsample(ramp[None], (41, 7, 7))[0]
    np.testing.assert_allclose(fine[:, 3, 3], np.linspace(0, 1, 41), atol=1e-6)


def test_generators_depend_on_names_and_not_on_order():
    assert rng_for(1, "a", "b").random() == rng_for(1, "a", "b").random()
    draws = {rng_for(seed, *names).random() for seed in (1, 2) for names in (("a", "b"), ("b", "a"), ("ab",))}
    assert len(draws) == 6
    assert seed_words([1, 2], "a")[:2] == [1, 2]
