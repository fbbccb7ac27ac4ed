from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from brainuad.evaluate.comparisons import compare
from brainuad.metrics import sample_size
from brainuad.metrics.evidence import Patients, ScanScores
from brainuad.metrics.pooled import BinnedCounts, pooled_areas
from brainuad.metrics.scanwise import auroc, youden
from brainuad.metrics.statistics import adjusted, interval, leave_one_out, means_of, paired, patient_mean, ratio


def test_scans_of_a_patient_are_left_out_together():
    weights = leave_one_out(["b", "a", "b", "c", "a"])
    assert weights.tolist() == [[1, 0, 1, 1, 0], [0, 1, 0, 1, 1], [1, 1, 1, 0, 1]]


def test_under_three_patients_there_is_no_interval():
    assert leave_one_out(["a", "b", "a", "b"]) is None
    value, low, high = ratio(np.array([1.0, 2]), np.array([2.0, 2]), None)
    assert value == 0.75
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize(
    ("values", "link", "back"),
    [
        ([0.2, 0.5, 0.3, 0.6], lambda m: (special.logit(m), 1 / (m * (1 - m))), special.expit),
        ([2.0, 5, 3, 6], lambda m: (np.log(m), 1 / m), np.exp),
        ([-2.0, 5, 3, 6], lambda m: (m, 1), lambda m: m),
    ],
    ids=["share", "amount", "any"],
)
def test_interval_of_a_mean_by_hand(values, link, back):
    mean, low, high = patient_mean(np.array(values), list("abcd"), leave_one_out(list("abcd")))
    at, slope = link(np.mean(values))
    half = 3.182446 * np.std(values, ddof=1) / 2 * slope
    assert mean == np.mean(values)
    assert (low, high) == pytest.approx((back(at - half), back(at + half)), rel=1e-5)


def test_many_scans_of_one_patient_weigh_as_one():
    names = ["a"] * 8 + ["b", "c", "d", "e"]
    values = np.array([0.9] * 8 + [0.2, 0.3, 0.4, np.nan])  # e has no value and does not count
    few = patient_mean(np.array([0.9, 0.2, 0.3, 0.4]), list("abcd"), leave_one_out(list("abcd")))
    assert patient_mean(values, names, leave_one_out(names)) == pytest.approx(few)


def test_a_share_of_all_is_not_certain():
    names = list("abcdefgh")
    _, low, high = patient_mean(np.ones(8), names, leave_one_out(names))
    assert (low, high) == (pytest.approx(stats.beta.ppf(0.025, 8, 1)), 1)
    _, low, high = patient_mean(np.zeros(8), names, leave_one_out(names))
    assert (low, high) == (0, pytest.approx(stats.beta.ppf(0.975, 1, 8)))


def test_nothing_is_certain_of_an_amount_of_which_there_was_none():
    weights, ones = leave_one_out(list("abcd")), np.ones(4)
    assert np.isnan(ratio(np.zeros(4), ones, weights, "amount")[1:]).all()
    assert ratio(np.zeros(4), ones, weights)[2] == pytest.approx(1 - 0.025**0.25)


def test_interval_leaves_out_samples_without_a_value():
    low, high = interval(0.5, np.array([0.4, np.nan, 0.5, 0.6]))
    assert (low, high) == interval(0.5, np.array([0.4, 0.5, 0.6]))
    assert np.isnan(interval(0.5, np.full(3, np.nan))).all()


@pytest.mark.parametrize(("abnormal", "known"), [(1, False), (2, False), (3, True)])
def test_an_area_of_one_or_two_abnormal_people_has_no_interval(abnormal, known):
    people = [f"sub-{i:02}" for i in range(10)]
    kinds, scores = np.arange(10) < abnormal, np.array([4.5, 5.5, 7.5, 1, 2, 3, 4, 5, 6, 7])
    evidence = ScanScores(Patients(people, leave_one_out(people)), "none", scores, kinds, [[]] * 10)
    assert np.isfinite(evidence.area(auroc).low) == known


def test_pooled_numbers_that_rest_on_one_patient_have_no_interval():
    lesion, normal = np.zeros((4, 3)), np.random.default_rng(0).integers(1, 9, (4, 3)).astype(float)
    for with_lesion, known in ((1, False), (4, True)):
        lesion[:with_lesion] = [[1, 2, 4], [2, 2, 3], [3, 1, 2], [1, 3, 2]][:with_lesion]
        counts = BinnedCounts(lesion, normal, np.arange(3.0), np.zeros(4))
        assert np.isfinite(pooled_areas(counts, leave_one_out(list("abcd"))).auprc[1]) == known


def covered(samples, truth):
    """Share of the studies whose interval of the mean over patients holds the true one."""
    names = [f"{i:02}" for i in range(samples.shape[1])]
    weights = leave_one_out(names)
    ends = np.array([patient_mean(values, names, weights)[1:] for values in samples])
    return np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))


@pytest.mark.parametrize("patients", [5, 10, 20, 50])
def test_intervals_of_skewed_shares_keep_their_level(patients):
    rng = np.random.default_rng(patients)
    truth = special.expit(-1.5 + 1.5 * rng.normal(size=400_000)).mean()
    samples = special.expit(-1.5 + 1.5 * rng.normal(size=(600, patients)))
    assert 0.91 < covered(samples, truth) < 0.98  # a percentile bootstrap: .80, .88, .92, .94


@pytest.mark.parametrize("patients", [5, 10, 20, 50])
def test_intervals_of_differences_keep_their_level(patients):
    rng = np.random.default_rng(patients)
    differences = np.subtract(*special.expit(-1.5 + 1.5 * rng.normal(size=(2, 4000, patients))) * 0.8)
    low, high = means_of(differences[..., None]).interval()
    assert 0.935 < np.mean((low <= 0) & (high >= 0)) < 0.97


@pytest.mark.parametrize(("seeds", "between"), [(3, 0.0), (3, 0.1), (5, 0.03)])
def test_intervals_over_seeds_keep_their_level(seeds, between):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.2, (4000, 12, 1)) + rng.normal(0, between, (4000, 1, seeds))
    low, high = means_of(values + rng.normal(0, 0.05, (4000, 12, seeds))).interval()
    assert 0.93 < np.mean((low <= 0) & (high >= 0)) < 0.985


def test_a_paired_interval_by_hand():
    test = paired(np.array([[1.0], [2], [3], [6]]))
    error = np.sqrt((4 + 1 + 0 + 9) / 3 / 4)
    assert (test.difference, test.patients, test.seeds) == (3, 4, 1)
    assert (test.low, test.high) == pytest.approx((3 - 3.182446 * error, 3 + 3.182446 * error), abs=1e-5)
    assert test.p == 2 / 16  # of 16 sign flips only all plus and all minus are as extreme


def test_a_crossed_interval_by_hand():
    """Two patients x two seeds repeated: MS_patients 4, MS_seeds 9, MS_rest 0."""
    values = np.array([[0.0, 3], [2, 5], [4, 7]])
    mean = means_of(values)
    variance = (8 + 13.5 - 0) / 6
    assert mean.value == 3.5
    assert mean.error == pytest.approx(np.sqrt(variance))
    assert mean.df == pytest.approx(variance**2 / ((8 / 6) ** 2 / 2 + (13.5 / 6) ** 2 / 1))


def barely_different_trainings():
    """Differences of 12 patients in two trainings, whose means differ by little more than chance."""
    signs, patients = np.where(np.arange(12) % 2, 1, -1), np.linspace(-1, 1, 12)
    return 0.1 + 0.1 * np.outer(signs, [1, -1]) + 0.01 * patients[:, None] + np.array([-0.04, 0.04])


def test_two_trainings_that_barely_differ_have_a_finite_interval():
    means = means_of(barely_different_trainings())
    assert means.df == 1
    assert means.interval()[1] < 1


@pytest.mark.parametrize("patients", [3, 8, 14, 40])
def test_p_is_that_of_scipys_permutation_test(patients):
    difference = np.random.default_rng(patients).normal(0.4, 1, patients)
    expected = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    ).pvalue
    assert paired(difference[:, None]).p == pytest.approx(expected, abs=1e-12 if patients < 15 else 0.01)


def test_patients_and_seeds_without_a_value_do_not_count():
    whole = np.random.default_rng(0).normal(size=(6, 3))
    more = np.full((7, 4), np.nan)
    more[:6, :3] = whole
    more[6, 0] = 5
    assert paired(more) == paired(whole)
    assert (paired(np.zeros((5, 1))).difference, paired(np.zeros((5, 1))).p) == (0, 1)
    assert np.isnan([paired(np.ones((2, 1))).low, paired(np.ones((2, 1))).p]).all()


@pytest.mark.parametrize("patients", [3, 9, 10, 14])
def test_equal_differences_have_the_p_of_as_many_equal_signs(patients):
    (((test,),),) = adjusted([[np.stack([np.full((patients, 2), 0.5), np.zeros((patients, 2))])]])
    assert test.p == pytest.approx(2 / 2**patients)
    assert test.p_adjusted == pytest.approx(2 / 2**patients)


def test_models_without_a_common_seed_have_no_patients_in_common():
    seeds = np.full((2, 12, 2), np.nan)
    seeds[0, :, 0], seeds[1, :, 1] = 0.5, 0.2
    (((test,),),) = adjusted([[seeds]])
    assert (test.patients, np.isnan(test.p)) == (0, True)


def test_independent_tests_are_corrected_as_by_holm_and_sidak():
    rng = np.random.default_rng(0)
    groups = [[rng.normal(np.array([shift, 0])[:, None, None], 1, (2, 12, 1))] for shift in (0, 0.5, 1, 1.5, 2)]
    tests = [test for ((test,),) in adjusted(groups)]
    alone, corrected = [test.p for test in tests], [test.p_adjusted for test in tests]
    assert alone == [paired(models[0] - models[1]).p for (models,) in groups]
    assert all(low <= p for low, p in zip(alone, corrected, strict=True))
    ordered = multipletests(alone, method="holm-sidak")[1]
    np.testing.assert_allclose(corrected, ordered, atol=0.015)  # between them stands a p of t, not of flips


def test_a_model_that_stands_twice_changes_no_corrected_p():
    models = np.random.default_rng(0).normal(size=(3, 15, 1)) + np.arange(3)[:, None, None]
    (once,), (twice, again) = adjusted([[models]])[0], adjusted([[models, models]])[0]
    assert once == twice == again


def studies(rng, models, patients, seeds=1, between_seeds=0.0):
    """AUPRC as it is: skewed, between 0 and 1, hard patients hard for all models."""
    patient, own = rng.normal(size=(1, patients, 1)), rng.normal(size=(models, patients, 1))
    training = between_seeds * rng.normal(size=(models, 1, seeds))
    return special.expit(-1.5 + 1.1 * (patient + own) + training + 0.3 * rng.normal(size=(models, patients, seeds)))


def decisions(models):
    """How many pairs are decided."""
    return sum(test.p_adjusted < 0.05 for test in adjusted([[models]])[0][0])


@pytest.mark.parametrize(("patients", "seeds", "between_seeds"), [(10, 1, 0), (12, 3, 0), (10, 3, 1), (10, 2, 1)])
def test_of_studies_without_a_difference_one_in_twenty_decides_something(patients, seeds, between_seeds):
    rng = np.random.default_rng(0)
    made = [decisions(studies(rng, 18, patients, seeds, between_seeds)) for _ in range(60)]
    assert np.count_nonzero(made) <= stats.binom.ppf(0.99, 60, 0.05)


def test_a_difference_that_another_training_would_not_give_is_not_decided():
    rng = np.random.default_rng(0)
    difference = 0.2 + np.array([-0.15, 0, 0.2]) + rng.normal(0, 0.02, (30, 3))
    assert paired(difference).p > 0.05
    assert paired(difference[:, 1:2]).p < 0.001  # of that training alone it is certain
    assert sample_size.needed(np.array([paired(difference).effect]), np.array([0.05])) != 0
    low, high = paired(difference).low, paired(difference).high
    assert low < 0 < high


def test_scan_level_auroc_counts_ties_half_and_weights_scans():
    scores, abnormal = np.array([3.0, 1, 1, 0]), np.array([True, True, False, False])
    assert auroc(scores, abnormal, np.ones(4)) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    weights = np.array([[1.0, 0, 1, 1], [0, 1, 2, 0], [0, 0, 1, 1]])
    np.testing.assert_allclose(auroc(scores, abnormal, weights), [1, 0.5, np.nan])


def test_youden_is_the_best_of_all_thresholds():
    scores, abnormal = np.array([5.0, 4, 1, 3, 2, 0, 0]), np.array([True, True, True, False, False, False, False])
    assert youden(scores, abnormal) == (4, pytest.approx(2 / 3), 1)


def scans(values, postprocessing="none"):
    """Rows of scans.tsv: model -> {(seed, subject, scan): auprc}."""
    names = ("seed", "subject", "scan")
    rows = [
        {"dataset": "ms", "postprocessing": postprocessing, "model": model, "auprc": auprc}
        | dict(zip(names, key, strict=True))
        for model, found in values.items()
        for key, auprc in found.items()
    ]
    return pd.DataFrame(rows)


def test_comparisons_average_a_patients_scans_and_pair_patients_by_seed():
    keys = [(seed, f"sub-{i}", f"sub-{i}_draw-{d}") for seed in (0, 1) for i in range(4) for d in (1, 2)]
    model = {key: 0.5 + 0.1 * key[0] + 0.01 * int(key[1][-1]) + 0.02 * int(key[2][-1]) for key in keys}
    baseline = dict.fromkeys(keys, 0.4)
    model.pop((0, "sub-3", "sub-3_draw-1"))
    model.pop((1, "sub-3", "sub-3_draw-1"))
    table = compare(scans({"dae": model, "zscore": baseline}), ["zscore", "absent"])
    (row,) = table.to_dict("records")
    by_patient = [0.18, 0.19, 0.20, 0.22]  # the last one has its second draw alone
    assert row["difference"] == pytest.approx(np.mean(by_patient))
    assert (row["model"], row["reference"], row["n"], row["seeds"]) == ("dae", "zscore", 4, 2)
    assert row["verdict"] == "too few"
    assert np.isnan(row["n_needed"])  # the seeds differ more than any number of patients could show


def decided(shift, patients=20, **more):
    rng = np.random.default_rng(0)
    keys = [(0, f"sub-{i:02}", f"sub-{i:02}") for i in range(patients)]
    values = {name: {key: rng.random() + gain for key in keys} for name, gain in (("z", 0), ("a", shift), ("b", 0))}
    return compare(pd.concat([scans(values, name) for name in more.get("names", ["none"])]), ["z"])


def test_every_two_models_are_compared_once_and_baselines_last():
    table = decided(1.0)
    assert list(zip(table["model"], table["reference"], strict=True)) == [("a", "b"), ("a", "z"), ("b", "z")]
    assert list(table["verdict"]) == ["better", "better", "undecided"]
    assert (table["p_adjusted"] >= table["p"]).all()
    assert table["n_needed"].isna().tolist() == [True, True, False]
    assert list(decided(-1.0)["verdict"]) == ["worse", "worse", "undecided"]


def test_under_ten_patients_nothing_is_decided():
    table = decided(9.0, patients=9)
    assert set(table["verdict"]) == {"too few"}
    assert table["p_adjusted"].isna().all()
    assert table["p"].iloc[0] == 2 / 2**9


def test_where_trainings_are_too_few_no_number_of_patients_is_told():
    keys = [(seed, f"sub-{i:02}", "s") for seed in (0, 1) for i in range(12)]
    gains = {"a": (0.2, 0.21), "b": (0, 0.01), "wild": (-0.4, 0.4)}
    rng = np.random.default_rng(0)
    values = {name: {key: 0.5 + of[key[0]] + 0.01 * rng.random() for key in keys} for name, of in gains.items()}
    row = compare(scans(values), []).iloc[0]
    assert (row["model"], row["reference"], row["verdict"], row["n"]) == ("a", "b", "undecided", 12)
    assert np.isnan(row["n_needed"])  # by the patients alone ten would do


def test_a_postprocessing_with_the_same_maps_is_marked_and_changes_nothing():
    once, twice = decided(1.0), decided(1.0, names=["none", "opened"])
    assert list(twice["same_as"]) == [""] * 3 + ["none"] * 3
    for name in ("p_adjusted", "n_needed"):
        np.testing.assert_array_equal(twice[name], [*once[name], *once[name]])


def test_of_one_model_there_is_nothing_to_compare():
    assert compare(scans({"a": {(0, "s", "s"): 0.5}}), ["z"]).empty


@pytest.mark.parametrize(("effect", "level"), [(0.3, 0.05), (0.8, 0.001), (0.1, 0.01)])
def test_patients_needed_are_those_of_statsmodels(effect, level):
    expected = TTestPower().solve_power(effect, alpha=level, power=0.8)
    assert sample_size.needed(np.array([effect]), np.array([level])) == max(10, np.ceil(expected))


def test_nothing_is_needed_in_vain():
    assert np.isnan(sample_size.needed(np.array([0, 0.01]), np.array([0.05, 0.05]))).all()
    assert sample_size.corrected_level(2, 1) == pytest.approx(0.05)
    assert 0.05 / 153 < sample_size.corrected_level(18, 1) < 0.001


def test_no_fewer_patients_are_needed_than_decide():
    assert sample_size.needed(np.array([0.01, np.inf]), np.array([0.05, 0.05]))[1] == 10
