"""One run per model and seed, read from the files of a study's jobs. Independent of MLflow."""

from __future__ import annotations

import getpass
import hashlib
import json
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from brainuad import metrics as declared
from brainuad.config.section import flat
from brainuad.formats import checksums, tables
from brainuad.formats import run as run_record
from brainuad.formats.files import finished
from brainuad.formats.missing import Missing
from brainuad.metrics.registry import NO_RULE
from brainuad.resources import course

NO_POSTPROCESSING = "none"
"""Label that every study has for maps as they are, by custom; left out of names."""
SYSTEM = "system/"
"""Begins the names of metrics on MLflow's page of system metrics."""
STAGES = ("infer", "postprocess", "evaluate")
LAYOUT = 6
"""Part of the hash; a higher number replaces all imported runs."""


@dataclass(frozen=True)
class Point:
    """A value of a curve, or a final value at step 0. `time`: in ms since 1970."""

    name: str
    value: float
    time: int
    step: int = 0


class Training(NamedTuple):
    """A training of the study: model, seed, and the label of the model whose weights it shares."""

    model: str
    seed: int
    trained_as: str


@dataclass(frozen=True)
class TrackedRun:
    """One model trained with one seed, and its evaluation."""

    study: str
    model: str
    seed: int
    trained_as: str
    """Label of the model whose weights it shares: another one where only the map differs."""
    train: dict[str, Any]
    """Record of the training job."""
    records: list[dict[str, Any]]
    """Records of its infer, postprocess and evaluate jobs, sorted by path."""
    curves: pd.DataFrame
    """step, name, value."""
    system: list[dict[str, Any]]
    """What the training used over time: lines of `brainuad.resources.course`."""
    metrics: pd.DataFrame
    """Rows of all its `metrics.tsv`."""
    precision_recall: pd.DataFrame
    """Rows of all its `curves.tsv`."""
    tested: dict[str, str]
    """Seal of the array cache that was mapped, by data set."""
    missing: dict[str, Missing]
    """What it lacks, by data set."""
    verdicts: dict[str, str]
    """By `<dataset>/<postprocessing>`: what the study decides of the model against each trivial baseline."""
    hash: str = ""
    """Of all of these."""

    @property
    def start(self) -> int:
        """Start of the training, ms since 1970."""
        return int(self.train["started"] * 1000)

    @property
    def end(self) -> int:
        """End of the last job if no job had waited for another, ms since 1970: MLflow shows the time that it worked."""
        return self.start + int(sum(record["seconds"] for record in [self.train, *self.records]) * 1000)

    @property
    def datasets(self) -> list[str]:
        """Labels of the data sets that it was evaluated on, else of those in its records."""
        recorded = sorted({record["tags"].get("dataset", "") for record in self.records} - {""})
        return sorted(set(self.metrics["dataset"])) or recorded

    @property
    def spaces(self) -> list[str]:
        """Grids that voxels were scored on, one for all data sets of a study."""
        settings = [record["settings"] for record in self.records if record["stage"] == "evaluate"]
        return sorted({each["space"] for each in settings if "space" in each})

    @property
    def scans(self) -> dict[str, int]:
        """Test scans that were scored, by data set."""
        facts = {r["tags"]["dataset"]: r["facts"] for r in self.records if r["stage"] == "evaluate"}
        return {label: each["scans"] for label, each in sorted(facts.items()) if "scans" in each}

    @property
    def lacking(self) -> dict[str, str]:
        """By data set, in words, how many scans are of sessions that lack a sequence; none where all are whole."""
        rows = self.metrics[self.metrics["metric"] == "scans_without_sequence"]
        counts = dict(zip(rows["dataset"], rows["value"], strict=True))
        return {label: f" ({count:.0f} without a sequence)" for label, count in counts.items()}


def read_runs(
    study: str, folder: Path, trainings: Iterable[Training], missing: Collection[Missing] = ()
) -> list[TrackedRun]:
    """The runs of these trainings under `folder` (`results/<study>`), sorted by model and seed.

    `missing`: evaluations that are not there; what lies in their folders is of an earlier version, and not read.
    """
    lacking: dict[tuple[str, str], dict[str, Missing]] = {}
    for row in missing:
        lacking.setdefault((row.model, row.seed), {})[row.dataset] = row
    each = [Training(*training) for training in sorted(trainings)]
    return [
        _read_run(study, folder, training, lacking.get((training.model, str(training.seed)), {})) for training in each
    ]


def run_params(run: TrackedRun) -> dict[str, str]:
    """Settings of the training, flattened with dots, and its facts."""
    values = training_params(run.train, run.trained_as)
    values |= {f"facts.{k}": v for k, v in texts(run.train["facts"]).items()}
    maps = [record["settings"].get("map", {}) for record in run.records if record["stage"] == "infer"]
    return values | (texts({"map": maps[0]}) if maps else {})


def run_tags(run: TrackedRun) -> dict[str, str]:
    """Tags by which runs are searched and grouped."""
    return {
        **training_tags(run.study, run.model, run.seed, run.train),
        "dataset": ", ".join(run.datasets),
        "scans": ", ".join(f"{label} {scans}{run.lacking.get(label, '')}" for label, scans in run.scans.items()),
        "space": ", ".join(run.spaces),
        "data": run.train["data"],
        **{f"verdict/{place}": text for place, text in run.verdicts.items()},
        **({"missing": "; ".join(f"{label}: {row.why}" for label, row in run.missing.items())} if run.missing else {}),
    }


def run_points(run: TrackedRun) -> list[Point]:
    """Curves at the times they were made (between start and end of the training, by step), final metrics, costs."""
    curve = curve_points(run.curves, run.start, int(run.train["seconds"] * 1000))
    return [
        *curve,
        *system_points(run.system),
        *(Point(name, value, run.end) for name, value in run_final(run).items()),
    ]


def run_final(run: TrackedRun) -> dict[str, float]:
    """Final metrics, the losses of the weights that were kept, costs, and what the training used."""
    return {**_final(run), **_best_losses(run.train["facts"]), **_costs(run), **_system(run.train)}


def curve_points(curves: pd.DataFrame, start: int, length: int) -> list[Point]:
    """Curves (step, name, value) of a training that started at `start` and took `length`, in ms."""
    last = max(1, int(curves["step"].max())) if len(curves) else 1
    rows = [(int(row["step"]), row) for row in curves.dropna().to_dict("records")]
    return [Point(row["name"], float(row["value"]), start + length * step // last, step) for step, row in rows]


def system_points(lines: Iterable[Mapping[str, Any]]) -> tuple[Point, ...]:
    """What a training used over time, for MLflow's page of system metrics. `lines`: of `brainuad.resources.course`."""
    return tuple(
        Point(f"{SYSTEM}{name}", float(value), int(line["time"] * 1000), line["step"])
        for line in lines
        for name, value in line["used"].items()
    )


def training_hash(record: Mapping[str, Any]) -> str:
    """Of the settings and the seed of a training, which are the same while it runs and in its run record."""
    settings = {key: value for key, value in record["settings"].items() if key not in ("cite", "map")}
    return hashlib.sha256(json.dumps([settings, record["seed"]], sort_keys=True).encode()).hexdigest()


def training_params(record: Mapping[str, Any], trained_as: str) -> dict[str, str]:
    """Settings of a training, flattened with dots; they do not change while it runs."""
    return texts(record["settings"]) | {"seed": str(record["seed"]), "trained_as": trained_as}


def training_tags(study: str, model: str, seed: int, record: Mapping[str, Any]) -> dict[str, str]:
    """Tags by which trainings are searched and grouped, and where their code is."""
    return {
        "study": study,
        "model": model,
        "seed": str(seed),
        "family": _family(record),
        "commit": record["commit"],
        "version": record.get("versions", {}).get("brainuad", ""),
        "mlflow.source.git.commit": record["commit"].removesuffix("-dirty"),
        "mlflow.source.name": "brainuad train",
        "mlflow.source.type": "PROJECT",
        "mlflow.user": _user(),
    }


def varied_params(runs: Sequence[TrackedRun], most: int) -> list[str]:
    """Numeric params of training and network in which runs differ: those that most runs have come first."""
    values: dict[str, list[str]] = {}
    for run in runs:
        for name, value in run_params(run).items():
            if _is_number(value):
                values.setdefault(name, []).append(value)
    varied = [name for name, each in values.items() if len(set(each)) > 1]
    return sorted(varied, key=lambda name: -len(values[name]))[:most]


def metric_name(row: Mapping[Hashable, Any], end: str = "") -> str:
    """`<metric>/<data set>:<threshold rule>:<postprocessing>:<end>` of a row of `metrics.tsv`, as far as there is one.

    The telling part comes first, for columns cut names at the right; MLflow draws what stands before `/` together.
    """
    rule, postprocessing = row["threshold_rule"], row["postprocessing"]
    more = [rule if rule != NO_RULE else "", postprocessing if postprocessing != NO_POSTPROCESSING else "", end]
    return f"{row['metric']}/{':'.join(filter(None, [row['dataset'], *more]))}"


def texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as dotted keys and text."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in flat(settings).items()}


def _read_run(study: str, folder: Path, training: Training, missing: dict[str, Missing]) -> TrackedRun:
    model, seed = training.model, f"seed-{training.seed}"
    trained = folder / "train" / training.trained_as / seed
    paths = [path for stage in STAGES for path in _records(folder / stage / model / seed, stage, missing)]
    evaluated = folder / "evaluate" / model / seed
    parts: dict[str, Any] = {
        "train": run_record.read(trained / run_record.NAME),
        "records": [run_record.read(path) for path in paths],
        "curves": run_record.read_curves(trained / run_record.CURVES),
        "metrics": _tables(evaluated, "metrics.tsv", tables.METRICS, missing),
        "precision_recall": _tables(evaluated, "curves.tsv", tables.CURVES, missing),
        "tested": _tested(folder / "infer" / model / seed, missing),
    }
    parts["system"] = course.read(trained / course.NAME, parts["train"]["started"])
    parts["verdicts"] = verdicts(folder / "evaluate" / "comparisons.tsv", model)
    lacking = sorted((row.dataset, row.why) for row in missing.values())
    return TrackedRun(study, *training, **parts, missing=missing, hash=_hash(study, model, seed, parts, *lacking))


def verdicts(path: Path, model: str) -> dict[str, str]:
    """All seeds of the model together."""
    rows = tables.read(path, tables.COMPARISONS).to_dict("records") if path.exists() else []
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["model"] == model and row["baseline"]:
            words = {"better": "better than", "worse": "worse than"}.get(row["verdict"], f"{row['verdict']}:")
            found.setdefault(f"{row['dataset']}/{row['postprocessing']}", []).append(f"{words} {row['reference']}")
    return {place: "; ".join(texts) for place, texts in found.items()}


def _records(folder: Path, stage: str, missing: Mapping[str, Missing]) -> list[Path]:
    lacking = {label for label, row in missing.items() if row.lacks(stage)}
    paths = finished(folder, f"**/{run_record.NAME}")
    return [path for path in paths if path.relative_to(folder).parts[0] not in lacking]


def _tested(folder: Path, missing: Mapping[str, Missing]) -> dict[str, str]:
    sealed = [path.parent for path in finished(folder, f"*/{checksums.NAME}") if path.parent.name not in missing]
    return {each.name: checksums.read(each).made_of.get("array_cache", "") for each in sealed}


def _tables(folder: Path, name: str, columns: dict[str, str], missing: Collection[str]) -> pd.DataFrame:
    paths = [path for path in finished(folder, f"*/{name}") if path.parent.name not in missing]
    filled = [table for path in paths if len(table := tables.read(path, columns))]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))


def _hash(*parts: Any) -> str:
    text = json.dumps([LAYOUT, *parts], sort_keys=True, default=_table_hash)
    return hashlib.sha256(text.encode()).hexdigest()


def _table_hash(table: pd.DataFrame) -> str:
    rows = pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()
    return hashlib.sha256(json.dumps(list(table.columns)).encode() + rows).hexdigest()


def _final(run: TrackedRun) -> dict[str, float]:
    """Intervals of the tracked metrics alone: the table among the run's files holds the others."""
    tracked = {metric.name for metric in declared.by_name().values() if metric.tracked}
    values: dict[str, float] = {}
    for row in run.metrics.to_dict("records"):
        for end in ("", "ci_low", "ci_high") if row["metric"] in tracked else ("",):
            if pd.notna(value := row[end or "value"]):
                values[metric_name(row, end)] = float(value)
    return values


def _best_losses(facts: Mapping[str, Any]) -> dict[str, float]:
    """Of each stage of the training."""
    return {name: float(value) for name, value in facts.items() if name.endswith("best_validation_loss")}


def _costs(run: TrackedRun) -> dict[str, float]:
    values: dict[str, float] = {}
    for record in [run.train, *run.records]:
        stage = f"cost/{record['stage']}"
        values[f"{stage}_seconds"] = values.get(f"{stage}_seconds", 0.0) + record["seconds"]
        values[f"{stage}_memory_mb"] = max(values.get(f"{stage}_memory_mb", 0.0), record["peak_memory_mb"])
    return values


def _system(train: Mapping[str, Any]) -> dict[str, float]:
    """Totals of the training, for MLflow's page of system metrics."""
    used = {"peak_memory_megabytes": train["peak_memory_mb"], "cpu_seconds": train["cpu_seconds"]}
    if train["seconds"] > 0:
        used["mean_cpu_cores"] = train["cpu_seconds"] / train["seconds"]
    return {f"{SYSTEM}training_{name}": float(value) for name, value in used.items()}


def _family(record: Mapping[str, Any]) -> str:
    return record["tags"].get("family") or str(flat(record["settings"]).get("family", ""))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody of that number
        return ""
