"""How stable a ranking is: hand-worked cases, and an analysis of variance by least squares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from brainuad.multiverse.stability import MODEL, MODEL_BY_CHOICE, TOGETHER, kendall_w, ranks, stability, variance_shares


def test_ranks_and_leads_share_ties_and_leave_out_what_is_undefined():
    values = np.array([[3.0, 2, 1], [1, 3, 2], [2, 2, 1], [np.nan, 9, 9]])
    assert ranks(values[:3]).tolist() == [[1, 2, 3], [3, 1, 2], [1.5, 1.5, 3]]
    found = stability(values)
    assert (found.choices, found.equal) == (3, 0)
    assert found.led.tolist() == pytest.approx([1.5 / 3, 1.5 / 3, 0])
    assert found.median_rank.tolist() == [1.5, 1.5, 3]
    assert [found.best_rank.tolist(), found.worst_rank.tolist()] == [[1, 1, 2], [3, 2, 3]]


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        ([[1, 2, 3], [1, 2, 3]], 1),
        ([[1, 2, 3], [3, 2, 1]], 0),
        ([[1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]], 12 * 35 / (9 * 60)),  # sums 4, 6, 8, 12 about 7.5
        ([[1, 2.5, 2.5], [1, 2.5, 2.5]], 1),  # the correction for ties
        ([[2, 2, 2], [2, 2, 2]], np.nan),
        ([[1, 2, 3]], np.nan),
    ],
)
def test_kendalls_w(places, wanted):
    assert kendall_w(np.array(places, float)) == pytest.approx(wanted, nan_ok=True)


def test_shares_of_variance_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    cells = list(itertools.product("abc", "xy"))
    levels = {"first": [a for a, _ in cells], "second": [b for _, b in cells], "fixed": ["one"] * 6}
    values = rng.normal(size=(6, 4)) + np.arange(4)
    found = variance_shares(values, levels)
    assert list(found) == [MODEL, "first", "second", TOGETHER, MODEL_BY_CHOICE]
    assert sum(found.values()) == pytest.approx(1)

    def explained(*columns):
        design = np.concatenate([np.ones((24, 1)), *columns], axis=1)
        fitted = design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
        return fitted.var() / values.var()

    def dummies(labels):
        return (np.array(labels)[:, None] == np.unique(labels)).astype(float)

    model = dummies(np.tile(np.arange(4), 6))
    by = {name: dummies(np.repeat(levels[name], 4)) for name in ("first", "second")}
    choice = dummies(np.repeat(np.arange(6), 4))
    assert found[MODEL] == pytest.approx(explained(model))
    assert [found[name] for name in by] == pytest.approx([explained(each) for each in by.values()])
    assert found[TOGETHER] == pytest.approx(explained(choice) - explained(*by.values()))
    assert found[MODEL_BY_CHOICE] == pytest.approx(1 - explained(model, choice))


def test_what_is_the_same_everywhere_has_no_shares():
    assert variance_shares(np.ones((3, 2)), {}) == {}
    assert np.isnan(stability(np.full((2, 2), np.nan)).agreement)
    assert stability(np.zeros((2, 2))).equal == 2
