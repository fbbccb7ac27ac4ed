"""Whether learning helped: each learned model against the trivial baselines, data set by data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from brainuad.config.study import Study
from brainuad.metrics import PRIMARY
from brainuad.report.table import Cell, summary

SIGNIFICANT = 0.05
Outcome = Literal["wins", "loses", "open"]


@dataclass(frozen=True)
class Verdict:
    """One data set. `outcomes`: learned model to its outcome against the best baseline, best model first."""

    dataset: str
    baseline: str
    numbers: dict[str, Cell]
    """AUPRC of each model, best first."""
    outcomes: dict[str, Outcome]
    chances: dict[str, float]
    """Of the paired differences behind them, p after Holm's correction."""

    def named(self, outcome: Outcome) -> list[str]:
        """Models with this outcome, each with its number, and with p where the correction would undo the outcome."""
        return [f"{model} ({self._shown(model)})" for model, found in self.outcomes.items() if found == outcome]

    def _shown(self, model: str) -> str:
        chance = self.chances.get(model, 0.0)
        doubtful = self.outcomes[model] != "open" and chance >= SIGNIFICANT
        return f"{self.numbers[model]}" + doubtful * f"; p {chance:.2f} after Holm"

    @property
    def good(self) -> bool:
        """Whether a learned model wins."""
        return "wins" in self.outcomes.values()


def baselines(study: Study) -> list[str]:
    """Labels of the models without a network."""
    return study.baselines()


def verdicts(study: Study, metrics: pd.DataFrame, comparisons: pd.DataFrame, postprocessing: str = "") -> list[Verdict]:
    """A verdict per data set with lesions, for a chain, else the study's first; the oracle has no part in it.

    A model wins if the 95 % interval of its paired difference to the best baseline lies above 0, and loses if it lies
    below; without a paired comparison, if the two intervals of the AUPRC do not touch.
    """
    postprocessing = postprocessing or next(iter(study.postprocessing))
    whole = summary(metrics[(metrics["metric"] == PRIMARY.name) & (metrics["postprocessing"] == postprocessing)])
    paired = comparisons[
        (comparisons["postprocessing"] == postprocessing) & comparisons["metric"].str.startswith("auprc")
    ]
    found = []
    for dataset, rows in whole.dropna(subset=["value"]).groupby("dataset", sort=False):
        ordered = rows.sort_values("value", ascending=False, kind="stable")
        columns = ("model", "value", "ci_low", "ci_high")
        numbers = {m: Cell(*cell) for m, *cell in zip(*(ordered[c] for c in columns), strict=True)}
        trivial = [model for model in numbers if model in baselines(study)]
        best = trivial[0] if trivial else ""
        learned = [model for model in numbers if model not in trivial]
        pairs = paired[paired["dataset"] == dataset]
        outcomes = {model: _outcome(model, best, numbers, pairs) for model in learned} if best else {}
        tested = pairs[(pairs["reference"] == best) & pairs["model"].isin(learned)].dropna(subset=["p_holm"])
        chances = dict(zip(tested["model"], tested["p_holm"].astype(float), strict=True))
        found.append(Verdict(str(dataset), best, numbers, outcomes, chances))
    return found


def _outcome(model: str, baseline: str, numbers: dict[str, Cell], paired: pd.DataFrame) -> Outcome:
    for first, second, sign in ((model, baseline, 1), (baseline, model, -1)):
        rows = paired[(paired["model"] == first) & (paired["reference"] == second)].dropna(subset=["ci_low"])
        if len(rows):
            ends = sorted([sign * float(rows["ci_low"].iloc[0]), sign * float(rows["ci_high"].iloc[0])])
            return "wins" if ends[0] > 0 else "loses" if ends[1] < 0 else "open"
    ours, theirs = numbers[model], numbers[baseline]
    return "wins" if ours.low > theirs.high else "loses" if ours.high < theirs.low else "open"
