"""Maps in units of their own scan."""

from __future__ import annotations

import numpy as np
import pytest

from brainuad.methods.shared.per_scan import combined, rank, robust_z, with_alone

BRAIN = np.zeros((6, 6, 6), bool)
BRAIN[1:5, 1:5, 1:5] = True
SCORED = BRAIN & (np.arange(6) < 4)[:, None, None]
NOISE = np.random.default_rng(0).normal(size=BRAIN.shape).astype(np.float32)


def test_robust_z_has_median_0_and_scale_1_on_scored_voxels():
    z = robust_z(5 + 3 * NOISE, BRAIN, SCORED)
    assert np.median(z[SCORED]) == pytest.approx(0, abs=1e-6)
    assert np.median(np.abs(z[SCORED])) == pytest.approx(1 / 1.4826)
    assert z.dtype == np.float32
    assert not z[~BRAIN].any()
    assert z[BRAIN & ~SCORED].any(), "the rim has values, too"


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_scanner_gain_and_offset_do_not_count(scale):
    np.testing.assert_allclose(
        robust_z(scale * NOISE - 4, BRAIN, SCORED), robust_z(NOISE, BRAIN, SCORED), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("anomaly", "scored", "largest"),
    [
        (np.full(BRAIN.shape, 3.0), SCORED, 0),
        (NOISE, np.zeros_like(BRAIN), 0),
        # one voxel of 48 is 1: the mean absolute deviation is 1/48
        (np.eye(1, 216, 43).reshape(BRAIN.shape), SCORED, 48 / 1.2533),
    ],
    ids=["constant", "nothing scored", "mostly equal"],
)
def test_degenerate_maps_have_finite_values(anomaly, scored, largest):
    z = robust_z(anomaly, BRAIN, scored)
    assert (z.min(), z.max()) == pytest.approx((0, largest))


def test_rank_counts_ties_half():
    anomaly = np.where(np.arange(6)[:, None, None] > 2, 1.0, 0.0) * BRAIN
    assert set(np.unique(rank(anomaly, BRAIN, BRAIN)[BRAIN]).tolist()) == {0.25, 0.75}


@pytest.mark.parametrize(
    ("by", "weights", "expected"),
    [
        ("mean_asinh", None, lambda a, b: (np.arcsinh(a / 2) + np.arcsinh(b / 2)) / 2),
        ("mean_asinh", [3.0, 1.0], lambda a, b: (3 * np.arcsinh(a / 2) + np.arcsinh(b / 2)) / 4),
        ("maximum", None, np.maximum),
    ],
)
def test_combinations_of_robust_z(by, weights, expected):
    maps = [NOISE, np.roll(NOISE, 1, 0) * 9]
    a, b = (robust_z(each, BRAIN, SCORED) for each in maps)
    np.testing.assert_allclose(combined(maps, BRAIN, SCORED, by, weights), expected(a, b), rtol=1e-5, atol=1e-6)


def test_a_model_alone_keeps_its_order():
    """Of one model every combination is a monotone function of its map."""
    order = np.argsort(NOISE[BRAIN])
    for by in ("mean_asinh", "rank", "maximum"):
        assert (np.diff(combined([NOISE], BRAIN, BRAIN, by)[BRAIN][order]) > 0).all()


def test_a_map_alone_takes_over_where_it_is_larger():
    other = np.roll(NOISE, 1, 0) * 9
    found = with_alone(NOISE, [(other, 0.5)], BRAIN, SCORED)
    expected = np.maximum(robust_z(NOISE, BRAIN, SCORED), 0.5 * robust_z(other, BRAIN, SCORED))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
