from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from brainuad.evaluate.comparisons import compare
from brainuad.metrics.scanwise import auroc, youden
from brainuad.metrics.statistics import bootstrap_weights, holm, interval, paired, patient_mean, ratio


def test_scans_of_a_patient_are_drawn_together():
    weights = bootstrap_weights(["b", "a", "b", "c", "a"], 300)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)
    assert weights[:, 0].mean() == pytest.approx(1, abs=0.15)


def test_equal_patients_are_drawn_equally_and_under_three_there_is_no_interval():
    np.testing.assert_array_equal(bootstrap_weights(["a", "b", "c"], 50), bootstrap_weights(["a", "b", "c"], 50))
    assert bootstrap_weights(["a", "b", "a", "b"], 100) is None
    value, low, high = ratio(np.array([1.0, 2]), np.array([2.0, 2]), None)
    assert value == 0.75
    assert np.isnan([low, high]).all()


def test_interval_of_a_mean_is_the_textbooks():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 200)
    names = [str(i) for i in range(200)]
    mean, low, high = patient_mean(values, names, bootstrap_weights(names, 2000))
    error = values.std(ddof=1) / np.sqrt(200)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.1 * error * 2)


def test_many_scans_of_one_patient_weigh_as_one_and_widen_the_interval():
    names = ["a"] * 8 + ["b", "c", "d"]
    values = np.array([1.0] * 8 + [0, 0, np.nan])
    mean, low, high = patient_mean(values, names, bootstrap_weights(names, 500))
    assert mean == pytest.approx(1 / 3)  # d has no value
    assert (low, high) == (0, 1)


def test_interval_leaves_out_resamples_without_a_value():
    assert interval(np.array([1, np.nan, 1])) == (1, 1)
    assert np.isnan(interval(np.full(3, np.nan))).all()


def test_paired_bootstrap_and_wilcoxon():
    rng = np.random.default_rng(1)
    difference = rng.normal(0.5, 0.3, 25)
    mean, low, high, p = paired(difference, 1000)
    assert low < mean < high
    assert low > 0.3
    assert p == pytest.approx(stats.wilcoxon(difference).pvalue)
    assert paired(np.zeros(5), 100) == (0, 0, 0, 1)
    assert np.isnan(paired(np.array([1.0, 2]), 100)[1:]).all()


def test_holm_is_the_papers_step_down():
    corrected = holm(np.array([0.01, 0.04, 0.03, np.nan]))
    assert corrected[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(corrected[3])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert holm(np.array([])).size == 0


def test_scan_level_auroc_counts_ties_half_and_weights_scans():
    scores, abnormal = np.array([3.0, 1, 1, 0]), np.array([True, True, False, False])
    assert auroc(scores, abnormal, np.ones(4)) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    weights = np.array([[1.0, 0, 1, 1], [0, 1, 2, 0], [0, 0, 1, 1]])
    np.testing.assert_allclose(auroc(scores, abnormal, weights), [1, 0.5, np.nan])


def test_youden_is_the_best_of_all_thresholds():
    scores, abnormal = np.array([5.0, 4, 1, 3, 2, 0, 0]), np.array([True, True, True, False, False, False, False])
    assert youden(scores, abnormal) == (4, pytest.approx(2 / 3), 1)


def scans(values):
    """Rows of scans.tsv: model -> {(seed, subject, scan): auprc}."""
    rows = [
        {
            "dataset": "ms",
            "postprocessing": "none",
            "model": model,
            "seed": seed,
            "subject": subject,
            "scan": scan,
            "auprc": auprc,
        }
        for model, found in values.items()
        for (seed, subject, scan), auprc in found.items()
    ]
    return pd.DataFrame(rows)


def test_comparisons_average_seeds_then_scans_of_a_patient_and_pair_patients():
    keys = [(seed, f"sub-{i}", f"sub-{i}_draw-{d}") for seed in (0, 1) for i in range(4) for d in (1, 2)]
    model = {key: 0.5 + 0.1 * key[0] + 0.01 * int(key[1][-1]) + 0.02 * int(key[2][-1]) for key in keys}
    baseline = {key: 0.4 for key in keys if key[0] == 0}
    model.pop((0, "sub-3", "sub-3_draw-1"))
    model.pop((1, "sub-3", "sub-3_draw-1"))
    table = compare(scans({"dae": model, "zscore": baseline}), ["zscore", "absent"], 200)
    (row,) = table.to_dict("records")
    by_patient = [0.18, 0.19, 0.20, 0.22]  # the last one has its second draw alone
    assert row["difference"] == pytest.approx(np.mean(by_patient))
    assert (row["model"], row["reference"], row["n"]) == ("dae", "zscore", 4)
    assert row["p"] == row["p_holm"] == pytest.approx(0.125)
    assert min(by_patient) <= row["ci_low"] < row["ci_high"] <= max(by_patient)


def test_holm_covers_the_whole_table_and_baselines_are_not_compared_with_each_other():
    rng = np.random.default_rng(0)
    keys = [(0, f"sub-{i}", f"sub-{i}") for i in range(12)]
    values = {
        name: {key: rng.random() + gain for key in keys} for name, gain in (("a", 2), ("b", 1), ("z", 0), ("t", 0))
    }
    table = compare(scans(values), ["z", "t"], 200)
    assert list(zip(table["model"], table["reference"], strict=True)) == [
        ("a", "z"),
        ("a", "t"),
        ("b", "z"),
        ("b", "t"),
    ]
    np.testing.assert_allclose(table["p_holm"], holm(table["p"].to_numpy()))
    assert (table["p_holm"] >= table["p"]).all()


def test_without_a_baseline_the_table_is_empty():
    assert compare(scans({"a": {(0, "s", "s"): 0.5}}), ["z"], 100).empty
