"""Each learned model against the best trivial baseline, data set by data set, as `comparisons.tsv` decides."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from brainuad.config.study import Study
from brainuad.formats.verdicts import Comparison, Comparisons, Verdict
from brainuad.metrics import PRIMARY
from brainuad.report.table import Cell, summary


@dataclass(frozen=True)
class BaselineComparison:
    """One data set. `comparisons`: of each learned model with the best baseline, best model first."""

    dataset: str
    baseline: str
    """Label of the best baseline; empty if the study has none."""
    numbers: dict[str, Cell]
    """AUPRC of each model, best first."""
    comparisons: dict[str, Comparison | None]
    """None: no patient that both have."""

    @property
    def differences(self) -> dict[str, Verdict]:
        """The verdict on each learned model; `too few` where nothing was compared."""
        return {model: found.verdict if found else "too few" for model, found in self.comparisons.items()}

    def models(self, verdict: Verdict) -> list[str]:
        """Models with this verdict and their numbers."""
        return [f"{model} ({self.numbers[model]})" for model, each in self.differences.items() if each == verdict]

    @property
    def improved(self) -> bool:
        """Whether a learned model is better than the best baseline."""
        return "better" in self.differences.values()

    @property
    def patients(self) -> int:
        """The most patients that a comparison rests on."""
        return max((found.n for found in self.comparisons.values() if found), default=0)

    @property
    def needed(self) -> int | None:
        """Patients that would decide the first open comparison; None where none is open, or no number would do."""
        still = [found.n_needed for found in self.comparisons.values() if found and found.open]
        return None if not still or pd.isna(still[0]) else int(still[0])


def compare_with_baselines(
    study: Study, metrics: pd.DataFrame, comparisons: pd.DataFrame, postprocessing: str = ""
) -> list[BaselineComparison]:
    """One comparison per data set with lesions, for a postprocessing, else the study's first. Without the oracle."""
    postprocessing = postprocessing or next(iter(study.postprocessing))
    whole = summary(metrics[(metrics["metric"] == PRIMARY.name) & (metrics["postprocessing"] == postprocessing)])
    found = Comparisons(comparisons)
    return [
        _compared(str(dataset), postprocessing, rows, found, study.baselines())
        for dataset, rows in whole.dropna(subset=["value"]).groupby("dataset", sort=False)
    ]


def _compared(
    dataset: str, postprocessing: str, rows: pd.DataFrame, comparisons: Comparisons, baselines: list[str]
) -> BaselineComparison:
    ordered = rows.sort_values("value", ascending=False, kind="stable")
    columns = ("model", "value", "ci_low", "ci_high")
    numbers = {m: Cell(*cell) for m, *cell in zip(*(ordered[c] for c in columns), strict=True)}
    best = next((model for model in numbers if model in baselines), "")
    learned = [model for model in numbers if model not in baselines] if best else []
    pairs = {model: comparisons.between(dataset, postprocessing, model, best) for model in learned}
    return BaselineComparison(dataset, best, numbers, pairs)
