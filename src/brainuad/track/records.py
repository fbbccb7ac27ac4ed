"""What a study's jobs left behind, gathered into one result per model and seed; MLflow is not known here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from brainuad.config.section import flat
from brainuad.formats import run, tables

LAYOUT = 1
"""Part of the hash: raised when the import changes, so that old imports are superseded."""


@dataclass(frozen=True)
class Point:
    """A value of a curve, or a final value at step 0. `time`: ms since 1970."""

    name: str
    value: float
    time: int
    step: int = 0


@dataclass(frozen=True)
class Result:
    """One model trained with one seed, and all that was found with it."""

    study: str
    model: str
    seed: int
    trained_as: str
    """Label under which it was trained: another one where only its map is its own."""
    train: dict[str, Any]
    """Record of the training job."""
    others: list[dict[str, Any]]
    """Records of its infer, postprocess and evaluate jobs, sorted by path."""
    curves: pd.DataFrame
    """step, name, value."""
    metrics: pd.DataFrame
    """Rows of all its `metrics.tsv`."""
    precision_recall: pd.DataFrame
    """Rows of all its `curves.tsv`."""
    hash: str = field(default="")

    @property
    def start(self) -> int:
        """Start of the training, ms since 1970."""
        return int(self.train["started"] * 1000)

    @property
    def end(self) -> int:
        """End of the last job, ms since 1970."""
        return max(_end(record) for record in [self.train, *self.others])

    @property
    def datasets(self) -> list[str]:
        """Labels of the data sets that it was evaluated on, else those it saw."""
        seen = sorted({record["tags"].get("dataset", "") for record in self.others} - {""})
        return sorted(set(self.metrics["dataset"])) or seen


def gather(study: str, folder: Path, runs: Iterable[tuple[str, int, str]]) -> list[Result]:
    """The results under `folder` (`results/<study>`), in order, of these models, seeds, and labels they trained as."""
    return [_result(study, folder, *each) for each in sorted(runs)]


def params(result: Result) -> dict[str, str]:
    """Settings of the training, flattened with dots, and its facts."""
    values = texts(result.train["settings"]) | {f"facts.{k}": v for k, v in texts(result.train["facts"]).items()}
    maps = [record["settings"].get("map", {}) for record in result.others if record["stage"] == "infer"]
    values |= texts({"map": maps[0]}) if maps else {}
    return values | {"seed": str(result.seed), "trained_as": result.trained_as}


def tags(result: Result) -> dict[str, str]:
    """What runs are found and grouped by."""
    versions = result.train.get("versions", {})
    return {
        "study": result.study,
        "model": result.model,
        "seed": str(result.seed),
        "family": _family(result.train),
        "dataset": ", ".join(result.datasets),
        "data": result.train["data"],
        "commit": result.train["commit"],
        "version": versions.get("brainuad", ""),
        "mlflow.source.git.commit": result.train["commit"].removesuffix("-dirty"),
        "mlflow.source.name": "brainuad train",
        "mlflow.source.type": "PROJECT",
    }


def points(result: Result) -> list[Point]:
    """Curves at the times they were made (between start and end of the training, by step), final metrics, costs."""
    start, length = result.start, int(result.train["seconds"] * 1000)
    last = max(1, int(result.curves["step"].max())) if len(result.curves) else 1
    rows = [(int(row["step"]), row) for row in result.curves.dropna().to_dict("records")]
    curve = [Point(row["name"], float(row["value"]), start + length * step // last, step) for step, row in rows]
    return curve + [Point(name, value, result.end) for name, value in {**_final(result), **_costs(result)}.items()]


def metric_name(row: Mapping[Hashable, Any]) -> str:
    """`<dataset>/<chain>/<metric>`, and `/<threshold rule>` where one applies, of a row of the metrics table."""
    parts = [row["dataset"], row["postprocessing"], row["metric"]]
    return "/".join(parts if row["threshold_rule"] == "none" else [*parts, row["threshold_rule"]])


def texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as dotted keys and text."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in flat(settings).items()}


def _result(study: str, folder: Path, model: str, number: int, trained_as: str) -> Result:
    seed = f"seed-{number}"
    trained = folder / "train" / trained_as / seed
    stages = ("infer", "postprocess", "evaluate")
    others = [p for stage in stages for p in sorted((folder / stage / model / seed).rglob(run.NAME))]
    evaluated = folder / "evaluate" / model / seed
    parts: dict[str, Any] = {
        "train": run.read(trained / run.NAME),
        "others": [run.read(p) for p in others],
        "curves": run.read_curves(trained / run.CURVES),
        "metrics": _tables(evaluated, "metrics.tsv", tables.METRICS),
        "precision_recall": _tables(evaluated, "curves.tsv", tables.CURVES),
    }
    return Result(study, model, number, trained_as, **parts, hash=_hash(study, model, seed, parts))


def _tables(folder: Path, name: str, columns: dict[str, str]) -> pd.DataFrame:
    found = [tables.read(path, columns) for path in sorted(folder.glob(f"*/{name}"))]
    filled = [table for table in found if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))


def _hash(*parts: Any) -> str:
    text = json.dumps([LAYOUT, *parts], sort_keys=True, default=lambda table: table.to_csv(index=False))
    return hashlib.sha256(text.encode()).hexdigest()


def _final(result: Result) -> dict[str, float]:
    values: dict[str, float] = {}
    for row in result.metrics.to_dict("records"):
        for suffix, column in (("", "value"), ("_ci_low", "ci_low"), ("_ci_high", "ci_high")):
            if pd.notna(row[column]):
                values[metric_name(row) + suffix] = float(row[column])
    return values


def _costs(result: Result) -> dict[str, float]:
    values: dict[str, float] = {}
    for record in [result.train, *result.others]:
        stage = f"cost/{record['stage']}"
        values[f"{stage}_seconds"] = values.get(f"{stage}_seconds", 0.0) + record["seconds"]
        values[f"{stage}_memory_mb"] = max(values.get(f"{stage}_memory_mb", 0.0), record["peak_memory_mb"])
    return values


def _family(record: dict[str, Any]) -> str:
    return record["tags"].get("family") or str(flat(record["settings"]).get("family", ""))


def _end(record: dict[str, Any]) -> int:
    return int((record["started"] + record["seconds"]) * 1000)
