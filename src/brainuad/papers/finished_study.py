"""A finished study: our numbers and how its models relate to a paper's systems."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brainuad.config.datasets import Made
from brainuad.config.load import load_study
from brainuad.config.section import Section
from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.formats import missing
from brainuad.formats.files import read_json
from brainuad.metrics import map_metrics, scan_metrics
from brainuad.metrics.registry import NO_RULE, ORACLE
from brainuad.papers import reported
from brainuad.papers.reported import Claim, Paper
from brainuad.papers.systems import Origin, origin
from brainuad.report import ceilings
from brainuad.report.reconstruction import reconstruction_quality
from brainuad.report.study_results import read_results
from brainuad.report.table import KEY, summary

FLAT = 0.01
"""Relative gain of the healthy validation loss, last fifth of its checks against the fifth before, below which it is
flat."""
FEWEST = 5
"""Checks from which on a curve is called flat or falling."""
AT_ORACLE = (
    scan_metrics.oracle_youden_accuracy.name,
    scan_metrics.oracle_youden_sensitivity.name,
    scan_metrics.oracle_youden_specificity.name,
)
"""Metrics that papers give at a threshold chosen on their test scans; ours are named so."""
OF_EACH_SCAN = ("above_chance", "mostly_false")
"""Numbers of each scan's mask: its Dice minus that of predicting the whole brain, and ml of false minus true
positives."""


@dataclass(frozen=True)
class Number:
    """A value of ours and its 95 % interval; nan ends where there is none."""

    value: float
    low: float
    high: float
    seeds: int = 1
    sd: float = float("nan")
    """Over seeds; nan for one."""
    rule: str = "none"
    n: int = 0
    """Scans that it rests on."""

    def __str__(self) -> str:
        interval = "" if pd.isna(self.low) else f" [{self.low:.3f}, {self.high:.3f}]"
        spread = "" if pd.isna(self.sd) else f" ± {self.sd:.3f}"
        return f"{self.value:.3f}{spread}{interval}"


@dataclass(frozen=True)
class FinishedStudy:
    """A study and its results. `origins`: by label, of the models that are systems of the paper."""

    study: Study
    file: Path
    paper: Paper
    origins: dict[str, Origin]
    metrics: pd.DataFrame
    scans: pd.DataFrame
    comparisons: pd.DataFrame
    ceilings: pd.DataFrame
    training: pd.DataFrame
    """model, seed, step, name, value."""
    records: list[dict[str, Any]]
    runs: dict[str, str]
    """MLflow run id by `<model>/seed-<s>`."""

    @property
    def trained(self) -> list[str]:
        """Labels of the paper's systems that were evaluated."""
        return [label for label in self.origins if label in set(self.metrics["model"])]

    def tests(self) -> list[str]:
        """Labels of the data sets that hold scans with lesions."""
        with_lesions = self.metrics["metric"].isin([map_metrics.prevalence.name, scan_metrics.auroc_scan.name])
        labels = set(self.metrics[with_lesions].dropna(subset=["value"])["dataset"])
        return [label for label in self.study.datasets if label in labels and not self._corrupted(label)]

    def tested_on(self, claim: Claim) -> list[str]:
        """Labels of the data sets on which a claim is checked."""
        return [label for label in self.study.datasets if label == claim.dataset] if claim.dataset else self.tests()

    def _corrupted(self, label: str) -> bool:
        return self.study.datasets[label].source == "corrupted"

    def own(self, dataset: str) -> str | None:
        """Id of the paper's test data; None for a stand-in, and where the training data are not the paper's."""
        labels = [label for label, d in self.study.scan_sets().items() if d.split and d.split.train]
        training = {self.study.own_data.get(label) for label in labels}
        return self.study.own_data.get(dataset) if training == set(self.paper.training) else None

    def source(self, dataset: str) -> str:
        """The data set whose preprocessed scans a data set is made of: itself, or the one that `into` names."""
        settings = self.study.datasets[dataset]
        return settings.into if isinstance(settings, Made) else dataset

    def postprocessing(self, label: str) -> str:
        """The paper's postprocessing for its own map; for ours the study's first other one."""
        labels = list(self.study.postprocessing)
        if self.origins[label].own_map and self.paper.postprocessing in labels:
            return self.paper.postprocessing
        return next((label for label in labels if label != self.paper.postprocessing), labels[0])

    def number(self, label: str, dataset: str, metric: str) -> Number | None:
        """A model's mean over seeds, at the paper's threshold, else at the study's first; `AT_ORACLE` at the oracle.

        A constant threshold is in units of the paper's map and not used for maps of ours.
        """
        if metric.startswith("seconds_per_"):
            return self._seconds(label, metric.removeprefix("seconds_per_") + "s")
        chosen = self._rows(label, dataset, metric)
        if chosen.empty:
            return None
        (mean,) = summary(chosen[[*KEY, "seed", "value", "ci_low", "ci_high", "n"]]).to_dict("records")
        value, low, high, count = (mean[name] for name in ("value", "ci_low", "ci_high", "seeds"))
        rule, scans = str(chosen["threshold_rule"].iloc[0]), int(chosen["n"].min())
        return Number(value, low, high, count, sd=float(chosen["value"].std()), rule=rule, n=scans)

    def numbers(self, label: str, dataset: str, metric: str) -> list[Number]:
        """The same of each seed."""
        rows = self._rows(label, dataset, metric).to_dict("records")
        return [Number(row["value"], row["ci_low"], row["ci_high"], n=int(row["n"])) for row in rows]

    def patients(self, label: str, dataset: str) -> int:
        """People behind a model's test scans of a data set."""
        rows = self.scans[(self.scans["dataset"] == dataset) & (self.scans["model"] == label)]
        return int(rows["subject"].nunique())

    def values(self, label: str, dataset: str, metric: str) -> pd.DataFrame | None:
        """A value of each patient (row) and seed (column): the mean over a patient's scans; None where there is none.

        `metric`: a Dice, an AUPRC, or one of `OF_EACH_SCAN`, from `scans.tsv`. Masks are those of its threshold rule.
        """
        column = "auprc" if metric == map_metrics.auprc_pooled.name else "dice" if metric.startswith("dice") else metric
        if column not in ("auprc", "dice", *OF_EACH_SCAN):
            return None
        rows = self.scans
        for name, wanted in (("dataset", dataset), ("postprocessing", self.postprocessing(label)), ("model", label)):
            rows = rows[rows[name] == wanted]
        if column != "auprc":
            rows = rows[rows["threshold_rule"] == self._rule(label, rows["threshold_rule"].unique())]
            rows = rows.assign(**_of_each_scan(rows))
        found = rows.dropna(subset=[column])
        return found.pivot_table(index="subject", columns="seed", values=column) if len(found) else None

    def ceiling(self, label: str, dataset: str, metric: str) -> float | None:
        """What a perfect map reaches in place of a model's, in AUPRC or Dice; None where that is not known."""
        model, postprocessing = self.study.models[label], self.postprocessing(label)
        for row in ceilings.rows(self.ceilings):
            if (row.dataset, row.postprocessing) == (dataset, postprocessing) and row.is_ceiling_of(model):
                return row.auprc if metric.startswith("auprc") else row.dice if metric.startswith("dice") else None
        return None

    def poor(self) -> dict[str, float]:
        """Models whose network explains none of the variance of healthy scans, and the share, which is 0 or less."""
        qualities, trainings = reconstruction_quality(self.study, self.records), self.study.trainings()
        found = {label: qualities.get(source) for label, source in trainings.items()}
        return {label: quality.explained for label, quality in found.items() if quality is not None and quality.poor}

    def seconds_of_seeds(self, label: str) -> list[float]:
        """Time of inference for a scan, of each training."""
        seeds: dict[Any, tuple[float, int]] = {}
        for record in self._inferences(label):
            seconds, scans = seeds.get(record["seed"], (0.0, 0))
            seeds[record["seed"]] = seconds + float(record["seconds"]), scans + int(record["facts"].get("scans", 0))
        return [seconds / scans for seconds, scans in seeds.values() if scans]

    def _rows(self, label: str, dataset: str, metric: str) -> pd.DataFrame:
        """Rows of `metrics.tsv`, one for each seed, at the threshold that counts."""
        keys = zip(
            ("dataset", "postprocessing", "model", "metric"),
            (dataset, self.postprocessing(label), label, metric),
            strict=True,
        )
        rows = self.metrics.dropna(subset=["value"])
        for column, value in keys:
            rows = rows[rows[column] == value]
        there = rows["threshold_rule"].unique()
        rule = self._rule(label, there, oracle=metric in AT_ORACLE)
        return rows[rows["threshold_rule"] == rule]

    def _rule(self, label: str, there: Collection[str], oracle: bool = False) -> str | None:
        """Of the threshold rules that are there, the paper's, else the study's first, else none."""
        own_map = self.origins[label].own_map
        rules = [rule.label for rule in self.study.thresholds if own_map or rule.rule != "fixed"]
        rules.sort(key=lambda rule: rule != self.paper.threshold_rule)
        wanted = [*rules, NO_RULE, *([ORACLE] if oracle else [])]
        return next((rule for rule in wanted if rule in set(there)), None)

    def _inferences(self, label: str) -> list[dict[str, Any]]:
        return [r for r in self.records if r["stage"] == "infer" and r["tags"].get("model") == label]

    def _seconds(self, label: str, unit: str) -> Number | None:
        """Time of inference on this machine, per scan or per slice with brain (`unit`: `scans` or `slices`)."""
        infer = self._inferences(label)
        count = sum(int(r["facts"].get(unit, 0)) for r in infer)
        nan = float("nan")
        seeds = len({record["seed"] for record in infer})
        return Number(sum(float(r["seconds"]) for r in infer) / count, nan, nan, seeds) if count else None


def read_finished_study(file: Path, files: Mapping[str, Section]) -> FinishedStudy:
    """Read a finished study; `files`: the shipped models by name.

    Raises InputError if the study names no paper or was not evaluated, ConfigError for an unknown paper.
    """
    study = load_study(file)
    if study.paper is None:
        raise InputError("the study names no paper", file=file, do="add `paper: ` and one of " + _keys())
    paper = reported.paper(study.paper)
    folder = Path(study.results) / study.study
    if not (folder / "evaluate" / "metrics.tsv").exists():
        do = f"run it first: {command(file)}"
        raise InputError(f"the study {study.study} was not evaluated yet", file=folder / "evaluate/metrics.tsv", do=do)
    results = read_results(study, folder, Path(study.results) / "preprocess" / study.recipe_name)
    if results.missing:
        total = len(study.models) * len(study.seeds) * len(study.scored_sets())
        what = f"{len(results.missing)} of {total} evaluations of the study {study.study} are missing"
        why = missing.lines(results.missing)[0]
        raise InputError(what, file=folder / "evaluate" / missing.NAME, why=why, do=f"mend it, then: {command(file)}")
    origins = {label: origin(label, model, paper, files) for label, model in study.models.items()}
    return FinishedStudy(
        study,
        file,
        paper,
        {label: known for label, known in origins.items() if known is not None},
        results.metrics,
        results.scans,
        results.comparisons,
        results.ceilings,
        results.training,
        results.records,
        _runs(folder / "track.json"),
    )


def command(file: Path) -> str:
    """The command that runs a study."""
    return f"snakemake --profile profiles/local --configfile {file}"


def flatness(training: pd.DataFrame) -> str:
    """Whether the healthy validation loss of one training has stopped falling; `training`: step, name, value."""
    curves = training[training["name"].str.endswith("validation_loss")] if len(training) else training
    texts = []
    for name, rows in curves.groupby("name", sort=False):
        values = rows.sort_values("step")["value"].to_numpy(dtype=float)
        stage = str(name).removesuffix("validation_loss").strip("_")
        texts.append(f"{stage}: {_flat(values)}" if stage else _flat(values))
    return "; ".join(texts) or "no healthy validation loss"


def _of_each_scan(scans: pd.DataFrame) -> dict[str, pd.Series]:
    """`OF_EACH_SCAN` of rows of `scans.tsv`."""
    inside = scans["lesion_ml"] * (1 - scans["lesion_share_outside"].fillna(0.0))
    whole_brain = 2 * inside / (scans["brain_ml"] + scans["lesion_ml"])
    above = (scans["dice"] - whole_brain).where(scans["lesion_ml"] > 0)
    return {"above_chance": above, "mostly_false": 2 * scans["false_ml"] - scans["predicted_ml"]}


def _flat(values: Any) -> str:
    if len(values) < FEWEST:
        return f"too few checks ({len(values)})"
    fifth = len(values) // 5
    last, before = values[-fifth:].mean(), values[-2 * fifth : -fifth].mean()
    gain = (before - last) / max(abs(before), 1e-12)
    return f"{'flat' if gain < FLAT else 'still falling'} ({100 * gain:+.1f} %)"


def _runs(path: Path) -> dict[str, str]:
    entries = read_json(path) if path.exists() else {}
    return {key: entry["run"] for key, entry in entries.items() if key != "complete"}


def _keys() -> str:
    return ", ".join(reported.papers())
