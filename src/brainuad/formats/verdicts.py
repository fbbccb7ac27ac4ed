"""What `comparisons.tsv` says of two models. Whatever calls a model better or worse reads it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import pandas as pd

Verdict = Literal["better", "worse", "undecided", "too few"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
OPPOSITE: dict[str, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class Comparison:
    """A model against a reference on the same patients; the numbers are columns of `comparisons.tsv`."""

    model: str
    reference: str
    n: int
    seeds: int
    difference: float
    low: float
    high: float
    p_adjusted: float
    """NaN under ten patients."""
    verdict: Verdict
    n_needed: float
    """NaN where it is decided, and where no number of patients would do."""

    @property
    def open(self) -> bool:
        """Whether it is not decided."""
        return self.verdict not in OPPOSITE

    @property
    def reversed(self) -> Comparison:
        """The reference against the model."""
        return replace(
            self,
            model=self.reference,
            reference=self.model,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            verdict=OPPOSITE.get(self.verdict, self.verdict),
        )


class Comparisons:
    """The comparisons of a study, by data set, postprocessing and the two models in either order."""

    def __init__(self, table: pd.DataFrame):
        self._found: dict[tuple[str, str, str, str], Comparison] = {}
        self._baselines = {str(row["reference"]) for row in table.to_dict("records") if row["baseline"]}
        for row in table.to_dict("records"):
            place, needed = (str(row["dataset"]), str(row["postprocessing"])), row["n_needed"]
            found = Comparison(
                str(row["model"]),
                str(row["reference"]),
                int(row["n"]),
                int(row["seeds"]),
                float(row["difference"]),
                float(row["ci_low"]),
                float(row["ci_high"]),
                float(row["p_adjusted"]),
                row["verdict"],
                float(needed),
            )
            self._found[*place, found.model, found.reference] = found
            self._found[*place, found.reference, found.model] = found.reversed

    def between(self, dataset: str, postprocessing: str, model: str, reference: str) -> Comparison | None:
        """None where the two were not compared."""
        return self._found.get((dataset, postprocessing, model, reference))

    def with_best_baseline(
        self, dataset: str, postprocessing: str, values: Mapping[str, float]
    ) -> dict[str, Comparison | None]:
        """Each learned model against the trivial baseline with the highest value. `values`: of all models."""
        best = max((label for label in values if label in self._baselines), key=lambda label: values[label], default="")
        learned = [label for label in values if label not in self._baselines] if best else []
        return {label: self.between(dataset, postprocessing, label, best) for label in learned}


NONE = Comparisons(pd.DataFrame())
