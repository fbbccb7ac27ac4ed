"""The results of a study, read from the files of its stages. Models that left the study are skipped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brainuad.config.study import Study
from brainuad.formats import ceilings, missing, quality, run, scans, tables, thresholds
from brainuad.formats.files import finished
from brainuad.formats.missing import STAGES, Missing
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan

IsThere = Callable[[str, Mapping[str, str]], bool]
"""Of a stage and the wildcards of its job."""


@dataclass(frozen=True)
class StudyResults:
    """The tables of a study (columns in `formats.tables`), its run records, and the quality control of its scans.

    Evaluations that are missing are in none of them, whatever an earlier version of the study left in their folders.
    """

    metrics: pd.DataFrame
    ceilings: pd.DataFrame
    scans: pd.DataFrame
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    training: pd.DataFrame
    """model, seed, step, name, value."""
    records: list[dict[str, Any]]
    """Run records of `STAGES`."""
    data_records: list[dict[str, Any]]
    """Run records of what works on data sets alone: download, preprocess, normalize, ceilings."""
    listed: list[Scan]
    """All scans of the study, with their roles and states."""
    verdicts: dict[tuple[str, str], QualityRow]
    """Quality control by data set and scan."""
    thresholds: dict[tuple[str, str, str], dict[str, float]]
    """Thresholds by rule, by model, postprocessing and data set; of the seed that is shown."""
    missing: list[Missing]
    shown_seeds: dict[tuple[str, str], int]
    """The seed that pictures and histograms show, by model and data set: the study's first that is not missing."""


def read_results(study: Study, folder: Path, preprocessed: Path) -> StudyResults:
    """Read `folder` (`results/<study>`) and `preprocessed` (`results/preprocess/<recipe>`); what is missing is empty.

    Raises InputError for broken files.
    """
    evaluated, listed = folder / "evaluate", read_listed(folder)
    lacking = [row for row in missing.read(evaluated) if row.model in study.models and row.dataset in study.datasets]
    seeds = _shown_seeds(study, lacking)
    read = {
        name: without_missing(_of_study(_table(evaluated / f"{name}.tsv", columns), study), lacking)
        for name, columns in (
            ("metrics", tables.METRICS),
            ("scans", tables.SCANS),
            ("curves", tables.CURVES),
        )
    }
    compared = _of_study(_table(evaluated / "comparisons.tsv", tables.COMPARISONS), study)
    there = [
        (row["model"], row["dataset"]) in seeds and (row["reference"], row["dataset"]) in seeds
        for row in compared.to_dict("records")
    ]
    return StudyResults(
        **read,
        ceilings=_ceilings(study, folder),
        comparisons=compared.loc[there].reset_index(drop=True),
        training=_training(study, folder, lacking),
        records=[run.read(path) for path in _records(study, folder, lacking)],
        data_records=read_data_records(study, folder, preprocessed),
        listed=listed,
        verdicts=read_verdicts(study, listed, folder),
        thresholds=_thresholds(study, seeds, folder),
        missing=lacking,
        shown_seeds=seeds,
    )


def without_missing(table: pd.DataFrame, lacking: Sequence[Missing]) -> pd.DataFrame:
    """The rows of a table whose evaluations are there."""
    gone = {row.run for row in lacking}
    runs = zip(table["model"], table["seed"].astype(str), table["dataset"], strict=True)
    return table.loc[[run not in gone for run in runs]].reset_index(drop=True)


def _ceilings(study: Study, folder: Path) -> pd.DataFrame:
    table = ceilings.read(folder / "ceilings" / label for label in study.datasets)
    return table[table["postprocessing"].isin(study.postprocessing)].reset_index(drop=True)


def _shown_seeds(study: Study, lacking: Sequence[Missing]) -> dict[tuple[str, str], int]:
    gone = {row.run for row in lacking}
    shown: dict[tuple[str, str], int] = {}
    for model in study.models:
        for dataset in study.datasets:
            there = [seed for seed in study.seeds if (model, str(seed), dataset) not in gone]
            if there:
                shown[model, dataset] = there[0]
    return shown


def _table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    return tables.read(path, dict(columns)) if path.exists() else pd.DataFrame(columns=list(columns))


def _of_study(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    kept = table["model"].isin(study.models) & table["dataset"].isin(study.datasets)
    return table[kept & table["postprocessing"].isin(study.postprocessing)].reset_index(drop=True)


def presence(study: Study, lacking: Sequence[Missing]) -> IsThere:
    """Whether a stage's result, named by its wildcards, belongs to the study and is of its current version."""
    trainings, runs = study.trainings(), {row.run: row for row in lacking}
    untrained = {(trainings[row.model], row.seed) for row in lacking if row.lacks("train")}
    known: dict[str, Collection[str]] = {
        "model": study.models.keys(),
        "seed": [str(seed) for seed in study.seeds],
        "dataset": study.datasets.keys(),
        "postprocessing": study.postprocessing.keys(),
    }

    def is_there(stage: str, wildcards: Mapping[str, str]) -> bool:
        if not all(wildcards[name] in values for name, values in known.items() if name in wildcards):
            return False
        run = wildcards["model"], wildcards["seed"]
        if stage == "train":
            return run not in untrained
        row = runs.get((*run, wildcards["dataset"]))
        return row is None or not row.lacks(stage)

    return is_there


def _records(study: Study, folder: Path, lacking: Sequence[Missing]) -> list[Path]:
    is_there, paths = presence(study, lacking), []
    for stage in STAGES:
        for path in finished(folder / stage, f"**/{run.NAME}"):
            model, seed, *more = path.relative_to(folder / stage).parts[:-1]
            wildcards = dict(zip(("dataset", "postprocessing"), more, strict=False))
            if is_there(stage, {"model": model, "seed": seed.removeprefix("seed-"), **wildcards}):
                paths.append(path)
    return paths


def read_data_records(study: Study, folder: Path, preprocessed: Path) -> list[dict[str, Any]]:
    stages = "normalize", "ceilings"
    paths = {label: [folder / stage / label / run.NAME for stage in stages] for label in study.datasets}
    for label in study.scan_sets():
        download = preprocessed.parents[1] / "download" / label / run.NAME
        paths[label] += [download, *finished(preprocessed / label, f"*/{run.NAME}")]
    read = [(label, run.read(path)) for label, each in paths.items() for path in each if path.exists()]
    return [{**record, "tags": {**record["tags"], "dataset": label}} for label, record in read]


def _training(study: Study, folder: Path, lacking: Sequence[Missing]) -> pd.DataFrame:
    read, is_there = [], presence(study, lacking)
    for model in dict.fromkeys(study.trainings().values()):
        for seed in study.seeds:
            curves = run.read_curves(folder / "train" / model / f"seed-{seed}" / run.CURVES)
            if len(curves) and is_there("train", {"model": model, "seed": str(seed)}):
                read.append(curves.assign(model=model, seed=seed))
    return pd.concat(read, ignore_index=True) if read else pd.DataFrame(columns=["step", "name", "value", "model"])


def read_listed(folder: Path) -> list[Scan]:
    """All scans of the study; before its table of subjects is made, those whose role is drawn."""
    whole = folder / "subjects.tsv"
    paths = [whole] if whole.exists() else finished(folder / "normalize", "*.tsv")
    by_name = {(scan.dataset, scan.scan): scan for path in paths if path.exists() for scan in scans.read(path)}
    return list(by_name.values())


def read_verdicts(study: Study, listed: list[Scan], folder: Path) -> dict[tuple[str, str], QualityRow]:
    """Quality control of the scans that were preprocessed, by data set and scan."""
    paths = [folder / "preprocess" / dataset / quality.NAME for dataset in study.scan_sets()]
    rows = [row for path in paths if path.exists() for row in quality.read(path) if row.has_image is not None]
    by_name = {(row.dataset, row.scan): row for row in rows}
    return {key: by_name[key] for scan in listed if (key := (scan.dataset, scan.scan)) in by_name}


def _thresholds(
    study: Study, seeds: Mapping[tuple[str, str], int], folder: Path
) -> dict[tuple[str, str, str], dict[str, float]]:
    by_map = {}
    for (model, dataset), seed in seeds.items():
        base = folder / "postprocess" / model / f"seed-{seed}" / dataset
        for path in finished(base, f"*/{thresholds.NAME}"):
            if path.parent.name not in study.postprocessing:
                continue
            read = thresholds.read(path.parent)
            values = {rule: each.value for rule, each in read.items() if each.value is not None}
            by_map[model, path.parent.name, dataset] = values
    return by_map
