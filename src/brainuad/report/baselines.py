"""Each learned model against the best trivial baseline, data set by data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from brainuad.config.study import Study
from brainuad.metrics import PRIMARY
from brainuad.report.table import Cell, summary

SIGNIFICANT = 0.05
Difference = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class BaselineComparison:
    """One data set. `differences`: of each learned model to the best baseline, best model first."""

    dataset: str
    baseline: str
    """Label of the best baseline; empty if the study has none."""
    numbers: dict[str, Cell]
    """AUPRC of each model, best first."""
    differences: dict[str, Difference]
    p_holm: dict[str, float]
    """p of the paired differences, after Holm's correction."""

    def models(self, difference: Difference) -> list[str]:
        """Models with this difference and their numbers, with p where the correction makes it insignificant."""
        return [f"{model} ({self._number(model)})" for model, each in self.differences.items() if each == difference]

    @property
    def improved(self) -> bool:
        """Whether a learned model is better than the best baseline."""
        return "better" in self.differences.values()

    def _number(self, model: str) -> str:
        p = self.p_holm.get(model, 0.0)
        insignificant = self.differences[model] != "undecided" and p >= SIGNIFICANT
        return f"{self.numbers[model]}" + insignificant * f"; p {p:.2f} after Holm"


def compare_with_baselines(
    study: Study, metrics: pd.DataFrame, comparisons: pd.DataFrame, postprocessing: str = ""
) -> list[BaselineComparison]:
    """One comparison per data set with lesions, for a postprocessing, else the study's first. Without the oracle.

    A model is better if the 95 % interval of its paired difference to the best baseline lies above 0, and worse if it
    lies below; without a paired comparison, if the two intervals of the AUPRC do not overlap.
    """
    postprocessing = postprocessing or next(iter(study.postprocessing))
    whole = summary(metrics[(metrics["metric"] == PRIMARY.name) & (metrics["postprocessing"] == postprocessing)])
    paired = comparisons[
        (comparisons["postprocessing"] == postprocessing) & comparisons["metric"].str.startswith("auprc")
    ]
    return [
        _compared(str(dataset), rows, paired[paired["dataset"] == dataset], study.baselines())
        for dataset, rows in whole.dropna(subset=["value"]).groupby("dataset", sort=False)
    ]


def _compared(dataset: str, rows: pd.DataFrame, pairs: pd.DataFrame, baselines: list[str]) -> BaselineComparison:
    ordered = rows.sort_values("value", ascending=False, kind="stable")
    columns = ("model", "value", "ci_low", "ci_high")
    numbers = {m: Cell(*cell) for m, *cell in zip(*(ordered[c] for c in columns), strict=True)}
    best = next((model for model in numbers if model in baselines), "")
    learned = [model for model in numbers if model not in baselines]
    differences = {model: _difference(model, best, numbers, pairs) for model in learned} if best else {}
    tested = pairs[(pairs["reference"] == best) & pairs["model"].isin(learned)].dropna(subset=["p_holm"])
    p_holm = dict(zip(tested["model"], tested["p_holm"].astype(float), strict=True))
    return BaselineComparison(dataset, best, numbers, differences, p_holm)


def _difference(model: str, baseline: str, numbers: dict[str, Cell], pairs: pd.DataFrame) -> Difference:
    for first, second, sign in ((model, baseline, 1), (baseline, model, -1)):
        rows = pairs[(pairs["model"] == first) & (pairs["reference"] == second)].dropna(subset=["ci_low"])
        if len(rows):
            low, high = sorted([sign * float(rows["ci_low"].iloc[0]), sign * float(rows["ci_high"].iloc[0])])
            return "better" if low > 0 else "worse" if high < 0 else "undecided"
    ours, theirs = numbers[model], numbers[baseline]
    return "better" if ours.low > theirs.high else "worse" if ours.high < theirs.low else "undecided"
