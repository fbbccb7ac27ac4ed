"""The results of a study, read from the files of its stages. Models that left the study are skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brainuad.config.study import Study
from brainuad.formats import quality, run, scans, tables, thresholds
from brainuad.formats.files import finished
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan

STAGES = ("train", "infer", "postprocess", "evaluate")
"""Stages that work on one model."""


@dataclass(frozen=True)
class StudyResults:
    """The tables of a study (columns in `formats.tables`), its run records, and the quality control of its scans."""

    metrics: pd.DataFrame
    scans: pd.DataFrame
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    training: pd.DataFrame
    """model, seed, step, name, value."""
    records: list[dict[str, Any]]
    """Run records of `STAGES`."""
    data_records: list[dict[str, Any]]
    """Run records of the stages that work on data sets alone: download, preprocess, normalize."""
    listed: list[Scan]
    """All scans of the study, with their roles and states."""
    verdicts: dict[tuple[str, str], QualityRow]
    """Quality control by data set and scan."""
    thresholds: dict[tuple[str, str, str], dict[str, float]]
    """Thresholds by rule, by model, postprocessing and data set; of the study's first seed."""


def read_results(study: Study, folder: Path, preprocessed: Path) -> StudyResults:
    """Read `folder` (`results/<study>`) and `preprocessed` (`results/preprocess/<recipe>`); what is missing is empty.

    Raises InputError for broken files.
    """
    evaluated, listed = folder / "evaluate", _listed(folder)
    read = {
        name: _of_study(_table(evaluated / f"{name}.tsv", columns), study)
        for name, columns in (
            ("metrics", tables.METRICS),
            ("scans", tables.SCANS),
            ("comparisons", tables.COMPARISONS),
            ("curves", tables.CURVES),
        )
    }
    return StudyResults(
        **read,
        training=_training(study, folder),
        records=[run.read(path) for path in _records(study, folder)],
        data_records=_data_records(study, folder, preprocessed),
        listed=listed,
        verdicts=_verdicts(study, listed, folder),
        thresholds=_thresholds(study, folder),
    )


def _table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    return tables.read(path, dict(columns)) if path.exists() else pd.DataFrame(columns=list(columns))


def _of_study(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    kept = table["model"].isin(study.models) & table["dataset"].isin(study.datasets)
    return table[kept & table["postprocessing"].isin(study.postprocessing)].reset_index(drop=True)


def _records(study: Study, folder: Path) -> list[Path]:
    paths = [path for stage in STAGES for path in finished(folder / stage, f"**/{run.NAME}")]
    return [path for path in paths if path.relative_to(folder).parts[1] in study.models]


def _data_records(study: Study, folder: Path, preprocessed: Path) -> list[dict[str, Any]]:
    paths = {label: [folder / "normalize" / label / run.NAME] for label in study.datasets}
    for label in study.scan_sets():
        download = preprocessed.parents[1] / "download" / label / run.NAME
        paths[label] += [download, *finished(preprocessed / label, f"*/{run.NAME}")]
    read = [(label, run.read(path)) for label, each in paths.items() for path in each if path.exists()]
    return [{**record, "tags": {**record["tags"], "dataset": label}} for label, record in read]


def _training(study: Study, folder: Path) -> pd.DataFrame:
    read = []
    for model in dict.fromkeys(study.trainings().values()):
        for seed in study.seeds:
            curves = run.read_curves(folder / "train" / model / f"seed-{seed}" / run.CURVES)
            if len(curves):
                read.append(curves.assign(model=model, seed=seed))
    return pd.concat(read, ignore_index=True) if read else pd.DataFrame(columns=["step", "name", "value", "model"])


def _listed(folder: Path) -> list[Scan]:
    paths = [folder / "subjects.tsv", *finished(folder / "subjects", "*.tsv")]
    by_name = {(scan.dataset, scan.scan): scan for path in paths if path.exists() for scan in scans.read(path)}
    return list(by_name.values())


def _verdicts(study: Study, listed: list[Scan], folder: Path) -> dict[tuple[str, str], QualityRow]:
    """Of the scans that were preprocessed."""
    paths = [folder / "preprocess" / dataset / quality.NAME for dataset in study.scan_sets()]
    rows = [row for path in paths if path.exists() for row in quality.read(path) if row.has_image is not None]
    by_name = {(row.dataset, row.scan): row for row in rows}
    return {key: by_name[key] for scan in listed if (key := (scan.dataset, scan.scan)) in by_name}


def _thresholds(study: Study, folder: Path) -> dict[tuple[str, str, str], dict[str, float]]:
    by_map = {}
    for model in study.models:
        base = folder / "postprocess" / model / f"seed-{study.seeds[0]}"
        for path in finished(base, f"*/*/{thresholds.NAME}"):
            if path.parent.name not in study.postprocessing or path.parent.parent.name not in study.datasets:
                continue
            read = thresholds.read(path.parent)
            values = {rule: each.value for rule, each in read.items() if each.value is not None}
            by_map[model, path.parent.name, path.parent.parent.name] = values
    return by_map
