"""Cuts of scores hold their level in simulations, and intervals of shares are exact."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from brainuad.metrics import conformal, proportions

DRAWS = 4000


@pytest.mark.parametrize("people", [4, 6, 10, 19, 99])
@pytest.mark.parametrize("asked", [0.87, 0.95])
def test_the_specificity_that_is_stated_holds_on_average(people, asked):
    """np.quantile at 0.87 gave a mean of 0.74 with 4 scans, 0.78 with 6, 0.81 with 10."""
    rng = np.random.default_rng(people)
    drawn = np.sort(rng.standard_normal((DRAWS, people)), axis=1)
    cuts = [conformal.cut(each, asked) for each in drawn]
    held = np.mean(stats.norm.cdf([each.threshold for each in cuts]))
    error = 4 * np.sqrt(0.25 / people / DRAWS)
    stated = cuts[0].specificity
    assert stated == pytest.approx(min(asked, people / (people + 1)))
    assert held > stated - error
    assert held < stated + 1 / (people + 1) + error
    old = np.mean(stats.norm.cdf(np.quantile(drawn, asked, axis=1)))
    assert asked > 0.87 or people > 10 or old < asked - 0.04


def test_by_hand():
    healthy = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9])
    assert conformal.cut(healthy, 0.8) == conformal.Cut(8, 0.8, 9)
    assert conformal.cut(healthy, 0.81) == conformal.Cut(9, 0.81, 9)
    assert conformal.cut(healthy, 0.95) == conformal.Cut(9, 0.9, 9)
    np.testing.assert_allclose(conformal.p_values(healthy, np.array([0, 1, 1.5, 9, 10])), [1, 1, 0.9, 0.2, 0.1])
    assert [conformal.fewest(level) for level in (0.14, 1 / 7, 0.05, 0.01)] == [7, 6, 19, 99]
    assert conformal.p_values(healthy[:6], np.array([99.0])) == pytest.approx(1 / 7), "six scans give no p under .14"
    assert conformal.cut(np.zeros(9), 0.5).threshold == 0
    people = [("a", 3.0), ("b", 1.0), ("a", 5.0), ("b", -2.0)]
    np.testing.assert_array_equal(conformal.highest_of_each(people), [1, 5])


def test_a_score_is_above_the_cut_exactly_where_its_p_is_at_most_the_level():
    rng = np.random.default_rng(3)
    for people in (7, 12, 40):
        healthy = np.sort(rng.integers(0, 15, people)).astype(float)
        scores = np.arange(-1.0, 17)
        for specificity in (0.5, 0.75, 0.8, 0.87):
            above = scores > conformal.cut(healthy, specificity).threshold
            np.testing.assert_array_equal(above, conformal.p_values(healthy, scores) <= 1 - specificity + 1e-9)


def test_intervals_of_shares_are_those_of_clopper_and_pearson():
    all_found = proportions.share(np.ones(8, bool), list("abcdefgh"))
    assert (all_found.value, round(all_found.low, 2), all_found.high, all_found.n) == (1, 0.63, 1, 8)
    some = proportions.share(np.arange(10) < 3, list("abcdefghij"))
    exact = stats.binomtest(3, 10).proportion_ci(method="exact")
    assert (some.low, some.high) == pytest.approx((exact.low, exact.high))
    assert (some.low, some.high) == pytest.approx(proportion_confint(3, 10, method="beta"))
    assert np.isnan(proportions.share(np.zeros(0, bool), []).value)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_intervals_hold_their_level_where_patients_have_several_scans(alike):
    """Of each patient 1 to 4 scans, of which the share `alike` follows one coin of the patient."""
    rng, share, covered, draws = np.random.default_rng(1), 0.8, 0, 400
    people = [str(i) for i in range(20) for _ in range(1 + i % 4)]
    patient = np.array([int(person) for person in people])
    for _ in range(draws):
        own, common = rng.random(len(people)) < share, (rng.random(20) < share)[patient]
        found = np.where(rng.random(20)[patient] < alike, common, own)
        interval = proportions.share(found, people)
        covered += interval.low <= share <= interval.high
    assert covered / draws >= 0.95 - 0.02
