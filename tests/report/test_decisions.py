"""What tables and tags say of models: only what `comparisons.tsv` decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainuad import terminal
from brainuad.formats import tables
from brainuad.formats.verdicts import Comparisons
from brainuad.report import table
from brainuad.track.tracked_run import verdicts


def metrics(seeds: int, studies: int = 1, patients: int = 12, between: float = 0.1) -> pd.DataFrame:
    """Rows of `metrics.tsv` of studies of one model: t intervals over normal patients around 0.5."""
    rng = np.random.default_rng(0)
    patient = rng.normal(0.5, 0.1, (studies, 1, patients)) + rng.normal(0, between, (studies, seeds, 1))
    values = patient + rng.normal(0, 0.02, (studies, seeds, patients))
    half = 2.201 * values.std(axis=2, ddof=1) / np.sqrt(patients)
    index = pd.MultiIndex.from_product([range(studies), range(seeds)], names=["dataset", "seed"])
    mean = values.mean(axis=2).ravel()
    numbers = {"value": mean, "ci_low": mean - half.ravel(), "ci_high": mean + half.ravel(), "n": patients}
    rest = {"postprocessing": "none", "model": "a", "metric": "auprc_scan", "threshold_rule": "none"}
    return pd.DataFrame(numbers, index=index).reset_index().assign(**rest)


@pytest.mark.parametrize(("seeds", "between"), [(1, 0.0), (2, 0.0), (3, 0.1), (5, 0.05)])
def test_the_interval_of_several_seeds_holds_the_mean_of_all_trainings(seeds: int, between: float) -> None:
    found = table.summary(metrics(seeds, 1500, between=between))
    assert len(found) == 1500
    assert 0.935 < ((found["ci_low"] <= 0.5) & (found["ci_high"] >= 0.5)).mean() < 0.99


def test_trainings_without_a_value_do_not_count() -> None:
    two = metrics(2)
    lacking = two.iloc[:1].assign(seed=2, value=np.nan, ci_low=np.nan, ci_high=np.nan)
    pd.testing.assert_frame_equal(table.summary(pd.concat([two, lacking])), table.summary(two))


def test_false_positives_are_no_share_even_under_one() -> None:
    low = metrics(2).assign(metric="fp_per_scan", value=[0.5, 0.9], ci_low=[0.4, 0.8], ci_high=[0.6, 1])
    assert table.summary(low)["ci_high"].item() > 1 == table.summary(low.assign(metric="nsd"))["ci_high"].item()


def test_the_interval_of_one_seed_and_of_equal_seeds_stays() -> None:
    one = metrics(1)
    pd.testing.assert_frame_equal(
        table.summary(one)[["value", "ci_low", "ci_high"]], one[["value", "ci_low", "ci_high"]]
    )
    twice = pd.concat([one, one.assign(seed=1)])
    assert table.summary(twice)[["ci_low", "ci_high"]].to_numpy() == pytest.approx(
        one[["ci_low", "ci_high"]].to_numpy()
    )


def compared(*each: tuple[str, str, str, str, int, float]) -> pd.DataFrame:
    columns = ["postprocessing", "model", "reference", "verdict", "n", "n_needed"]
    rows = pd.DataFrame(each, columns=columns).assign(dataset="ms", seeds=1, baseline=1, metric="auprc_scan")
    return rows.reindex(columns=list(tables.COMPARISONS))


ROWS = [
    {"dataset": "ms", "postprocessing": post, "model": model, "seed": 0, "metric": metric, "threshold_rule": "none"}
    | {"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "n": 8}
    for post in ("none", "opened")
    for model, value in (("ae", 0.5), ("z", 0.2), ("hist", 0.4))
    for metric in ("auprc_scan", "auprc_pooled")
]


def test_a_star_is_a_decision_against_the_best_baseline() -> None:
    decided = compared(
        ("none", "ae", "z", "better", 12, np.nan),
        ("none", "ae", "hist", "undecided", 12, 40),
        ("opened", "ae", "z", "undecided", 12, np.nan),
        ("opened", "ae", "hist", "better", 12, np.nan),
    )
    text = terminal.text(table.comparison(pd.DataFrame(ROWS), Comparisons(decided)))
    (starred,) = [line for line in text.splitlines() if "]*" in line]
    assert starred.split()[:2] == ["ae", "opened"]
    assert "none: no model is decided to be better than hist (n = 12; about 40 needed)" in text
    assert "opened: better than hist: ae" in text


def test_with_few_patients_the_terminal_says_how_many_would_do() -> None:
    few = compared(*((post, "ae", base, "too few", 8, 37) for post in ("none", "opened") for base in ("z", "hist")))
    text = terminal.text(table.comparison(pd.DataFrame(ROWS), Comparisons(few)))
    assert "too few patients to decide (n = 8; about 37 needed)" in text
    assert "]*" not in text


def test_runs_in_mlflow_bear_theverdicts_of_their_model(tmp_path) -> None:
    rows = [("none", "ae", "z", "better", 12, np.nan), ("none", "ae", "hist", "too few", 8, 40)]
    tables.write(tmp_path / "comparisons.tsv", compared(*rows), tables.COMPARISONS)
    assert verdicts(tmp_path / "comparisons.tsv", "ae") == {"ms/none": "better than z; too few: hist"}
    assert verdicts(tmp_path / "none.tsv", "ae") == {}
