"""Everything that a report tells, read from the files of a study. Models that left the study are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brainuad.config.recipe import Quality
from brainuad.config.study import Study
from brainuad.formats import run, scans, status, tables, thresholds, verdict
from brainuad.formats.files import atomic
from brainuad.formats.scans import Scan
from brainuad.formats.status import Status

FAILURES = ["dataset", "scan", "stage", "state", "reason", "remedy"]
COSTS = ["stage", "model", "dataset", "jobs", "seconds", "cpu_seconds", "peak_memory_mb"]
STAGES = ("train", "infer", "postprocess", "evaluate")
BEFORE = ("download", "preprocess", "normalize")


@dataclass(frozen=True)
class Findings:
    """The tables of a study (columns in `formats.tables`), its records and its verdicts on subjects."""

    metrics: pd.DataFrame
    scans: pd.DataFrame
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    training: pd.DataFrame
    """model, seed, step, name, value."""
    records: list[dict[str, Any]]
    before: list[dict[str, Any]]
    """Records of the stages that know of no model."""
    subjects: list[Scan]
    statuses: dict[tuple[str, str], Status]
    """By data set and scan."""
    cuts: dict[tuple[str, str, str], dict[str, float]]
    """Thresholds by rule, by model, chain and data set; of the study's first seed."""


def gather(study: Study, folder: Path, preprocess: Path) -> Findings:
    """Read `folder` (`results/<study>`) and `preprocess` (`results/preprocess/<recipe>`); what is missing is empty."""
    evaluated, subjects = folder / "evaluate", _subjects(folder)
    found = {
        name: _of_study(_table(evaluated / f"{name}.tsv", columns), study)
        for name, columns in (
            ("metrics", tables.METRICS),
            ("scans", tables.SCANS),
            ("comparisons", tables.COMPARISONS),
            ("curves", tables.CURVES),
        )
    }
    return Findings(
        **found,
        training=_training(study, folder),
        records=[run.read(path) for path in _records(study, folder)],
        before=_before(study, folder, preprocess),
        subjects=subjects,
        statuses=_statuses(subjects, preprocess, study.recipe.preprocess.quality),
        cuts=_cuts(study, folder),
    )


def failures(findings: Findings, decisions: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """A row per subject that failed, is in doubt or was decided on by a person, and why; first those left out."""
    remedy = "add what is missing or list the subject under `exclude`"
    rows: list[tuple[str, ...]] = [
        (row.dataset, row.scan, "decisions", row.state, _decided(row, decisions), "change its line in the decisions")
        for row in findings.subjects
        if row.state in ("excluded", "included")
    ]
    decided = {row[:2] for row in rows}
    rows += [
        (dataset, scan, "preprocess", found.state, "; ".join(found.reasons), found.remedy or "")
        for (dataset, scan), found in findings.statuses.items()
        if found.state != "ok" and (dataset, scan) not in decided
    ]
    known = {row[:2] for row in rows if row[3] == "failed"}
    rows += [
        (row.dataset, row.scan, "split", row.state, row.note, remedy)
        for row in findings.subjects
        if row.state == "failed" and (row.dataset, row.scan) not in known
    ]
    rows += [
        (record["tags"]["dataset"], scan, "normalize", "failed", why, "nothing, or add masks to the bank")
        for record in findings.before
        for scan, why in record["facts"].get("left_out", {}).items()
    ]
    rows.sort(key=lambda row: (row[3] not in ("failed", "excluded"), *row[:2]))
    return pd.DataFrame(rows, columns=FAILURES)


def _decided(row: Scan, decisions: Mapping[str, Mapping[str, str]]) -> str:
    """Who decided on a scan and why, then what else is said of it."""
    decision = decisions.get(row.dataset, {}).get(row.scan)
    return "; ".join(filter(None, [decision or row.state, row.note]))


def costs(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Sums of time (s) over the jobs of a stage, model and data set, and the largest peak of memory (MB)."""
    numbers = ("seconds", "cpu_seconds", "peak_memory_mb")
    rows = [
        [r["stage"], r["tags"].get("model", ""), r["tags"].get("dataset", ""), 1, *(r[name] for name in numbers)]
        for r in records
    ]
    totals = dict.fromkeys(COSTS[3:6], "sum") | {"peak_memory_mb": "max"}
    table = pd.DataFrame(rows, columns=COSTS).groupby(COSTS[:3], sort=False).agg(totals).reset_index()
    return table.sort_values(
        "stage", key=lambda column: column.map((*BEFORE, *STAGES).index), kind="stable", ignore_index=True
    )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write `failures.tsv` or `costs.tsv`."""
    with atomic(path) as part:
        table.to_csv(part, sep="\t", index=False, float_format="%.6g")


def _table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    return tables.read(path, dict(columns)) if path.exists() else pd.DataFrame(columns=list(columns))


def _of_study(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    kept = table["model"].isin(study.models) & table["dataset"].isin(study.datasets)
    return table[kept & table["postprocessing"].isin(study.postprocessing)].reset_index(drop=True)


def _records(study: Study, folder: Path) -> list[Path]:
    paths = [path for stage in STAGES for path in sorted((folder / stage).rglob(run.NAME))]
    return [path for path in paths if path.relative_to(folder).parts[1] in study.models]


def _before(study: Study, folder: Path, preprocess: Path) -> list[dict[str, Any]]:
    paths = {label: [folder / "normalize" / label / run.NAME] for label in study.datasets}
    for label in study.scan_sets():
        download = preprocess.parents[1] / "download" / label / run.NAME
        paths[label] += [download, *sorted((preprocess / label).glob(f"*/{run.NAME}"))]
    found = [(label, run.read(path)) for label, each in paths.items() for path in each if path.exists()]
    return [{**record, "tags": {**record["tags"], "dataset": label}} for label, record in found]


def _training(study: Study, folder: Path) -> pd.DataFrame:
    found = []
    for model in dict.fromkeys(study.trainings().values()):
        for seed in study.seeds:
            curves = run.read_curves(folder / "train" / model / f"seed-{seed}" / run.CURVES)
            if len(curves):
                found.append(curves.assign(model=model, seed=seed))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["step", "name", "value", "model"])


def _subjects(folder: Path) -> list[Scan]:
    paths = [folder / "subjects.tsv", *sorted((folder / "subjects").glob("*.tsv"))]
    rows = {(row.dataset, row.scan): row for path in paths if path.exists() for row in scans.read(path)}
    return list(rows.values())


def _statuses(subjects: list[Scan], preprocess: Path, limits: Quality) -> dict[tuple[str, str], Status]:
    paths = {(row.dataset, row.scan): preprocess / row.dataset / row.scan / status.NAME for row in subjects}
    return {key: verdict.read(path, limits) for key, path in paths.items() if path.exists()}


def _cuts(study: Study, folder: Path) -> dict[tuple[str, str, str], dict[str, float]]:
    found = {}
    for model in study.models:
        base = folder / "postprocess" / model / f"seed-{study.seeds[0]}"
        for path in sorted(base.glob(f"*/*/{thresholds.NAME}")):
            cuts = {rule: cut.value for rule, cut in thresholds.read(path.parent).items() if cut.value is not None}
            found[model, path.parent.name, path.parent.parent.name] = cuts
    return found
