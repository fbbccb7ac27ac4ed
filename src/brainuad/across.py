"""Models of several studies side by side, where their data and definitions agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from brainuad.errors import InputError
from brainuad.evaluate import comparisons
from brainuad.formats import run, scans, tables
from brainuad.formats.files import atomic_folder, finished
from brainuad.formats.verdicts import Comparisons
from brainuad.report.lacking import without_sequences
from brainuad.report.table import comparison

if TYPE_CHECKING:
    from rich.table import Table

ROUNDING = 1e-4
"""Relative; tables hold six digits."""
KEYS = ["dataset", "postprocessing", "seed", "scan"]


@dataclass(frozen=True)
class Finished:
    """What a study left. `contents`: hashes of voxel values by data set and scan, where known."""

    name: str
    folder: Path
    metrics: pd.DataFrame
    scans: pd.DataFrame
    baselines: frozenset[str]
    contents: dict[tuple[str, str], str]


@dataclass(frozen=True)
class SideBySide:
    """Models named `<study>/<model>`; `baselines`: those among them; `notes`: what was left out, and why."""

    metrics: pd.DataFrame
    scans: pd.DataFrame
    baselines: list[str]
    notes: list[str]


def compare_studies(folders: Sequence[Path], out: Path | None = None) -> list[Table | str]:
    """The comparison of the studies in `folders` (`results/<study>`), to be shown; with `out` also as tables.

    Raises InputError if a folder has no tables, and if no data set of two studies agrees.
    """
    found = side_by_side([read(folder) for folder in folders])
    decided = comparisons.compare(found.scans, found.baselines)
    if out is not None:
        with atomic_folder(out) as part:
            tables.write(part / "metrics.tsv", found.metrics, tables.METRICS)
            tables.write(part / "scans.tsv", found.scans, tables.SCANS)
            tables.write(part / "comparisons.tsv", decided, tables.COMPARISONS)
    written = [] if out is None else [f"tables: {out}/metrics.tsv, scans.tsv, comparisons.tsv"]
    shown = comparison(found.metrics, Comparisons(decided), without_sequences(found.scans))
    return [*shown, *found.notes, *written]


def read(folder: Path) -> Finished:
    """Read `results/<study>`. Raises InputError if it was not evaluated."""
    evaluated = folder / "evaluate"
    if not (evaluated / "metrics.tsv").exists():
        raise InputError("nothing of this study was evaluated yet", file=evaluated / "metrics.tsv", do="run it first")
    pairs = tables.read(evaluated / "comparisons.tsv", tables.COMPARISONS)
    listed = scans.read(folder / "subjects.tsv") if (folder / "subjects.tsv").exists() else []
    return Finished(
        folder.resolve().name,
        folder,
        tables.read(evaluated / "metrics.tsv", tables.METRICS),
        tables.read(evaluated / "scans.tsv", tables.SCANS),
        frozenset(pairs.loc[pairs["baseline"] == 1, "reference"]),
        {(scan.dataset, scan.scan): scan.content for scan in listed if scan.content},
    )


def side_by_side(studies: Sequence[Finished]) -> SideBySide:
    """Join what agrees with the first study that has the data set and postprocessing.

    A model with the numbers of one of an earlier study is that model, and not listed twice.
    """
    if len({study.name for study in studies}) < len(studies):
        raise InputError("two studies have one name", why=", ".join(study.name for study in studies))
    notes: list[str] = []
    shared = {study.name: list[tuple[str, str]]() for study in studies}
    for dataset in dict.fromkeys(name for study in studies for name in study.scans["dataset"].unique()):
        first, *others = [study for study in studies if (study.scans["dataset"] == dataset).any()]
        reasons = {other.name: differs(first, other, dataset) for other in others}
        kept = [first, *(other for other in others if not reasons[other.name])]
        notes += [
            f"{dataset} of {name} is not compared with that of {first.name}: {reason}"
            for name, reason in reasons.items()
            if reason
        ]
        for postprocessing in _shared_postprocessings(kept, dataset, notes) if len(kept) > 1 else ():
            for study in kept:
                shared[study.name].append((dataset, postprocessing))
    if not any(shared.values()):
        why = "; ".join(notes) or "no data set is in two of them"
        raise InputError("these studies have no results that could be compared", why=why)
    models = _listed_once(studies, shared, notes)
    parts = [
        [_rows(study, table, shared[study.name], models[study.name]) for study in studies if shared[study.name]]
        for table in ("metrics", "scans")
    ]
    metrics, of_scans = (pd.concat(part, ignore_index=True) for part in parts)
    baselines = [f"{study.name}/{model}" for study in studies for model in sorted(study.baselines)]
    return SideBySide(metrics, of_scans, baselines, notes)


def differs(one: Finished, two: Finished, dataset: str) -> str:
    """Why the numbers of a data set of two studies cannot be compared; empty if they can."""
    facts = [_facts(study, dataset) for study in (one, two)]
    missing = facts[0].index.symmetric_difference(facts[1].index)
    if len(missing):
        return f"its test scans are others, such as {missing[0]} ({len(facts[0])} and {len(facts[1])} scans)"
    for scan in facts[0].index:
        contents = [study.contents.get((dataset, scan), "") for study in (one, two)]
        if all(contents) and contents[0] != contents[1]:
            return f"{scan} has other voxel values"
    for name, what in (("lesion_ml", "lesion masks"), ("brain_ml", "scored brains")):
        first, second = (each[name].reindex(facts[0].index).to_numpy(dtype=float) for each in facts)
        other = ~np.isclose(first, second, rtol=ROUNDING, atol=1e-6, equal_nan=True)
        if other.any():
            scan, numbers = facts[0].index[other][0], (first[other][0], second[other][0])
            return f"its {what} differ, such as that of {scan} ({numbers[0]:.2f} and {numbers[1]:.2f} ml)"
    settings = [_settings(study, "evaluate", dataset) for study in (one, two)]
    keys = sorted(key for key in {*settings[0], *settings[1]} if settings[0].get(key) != settings[1].get(key))
    return f"evaluate.{keys[0]} differs" if keys else ""


def _facts(study: Finished, dataset: str) -> pd.DataFrame:
    rows = study.scans[study.scans["dataset"] == dataset]
    return rows.groupby("scan")[["lesion_ml", "brain_ml"]].first()


def _settings(study: Finished, stage: str, dataset: str, postprocessing: str = "") -> dict[str, Any]:
    """Of one job of the stage on a data set; all of a study have the same. Empty where none is left."""
    pattern = "/".join(["*/seed-*", dataset, *([postprocessing] if postprocessing else []), run.NAME])
    records = finished(study.folder / stage, pattern)
    return dict(run.read(records[0])["settings"]) if records else {}


def _shared_postprocessings(studies: Sequence[Finished], dataset: str, notes: list[str]) -> Iterator[str]:
    """Labels that all studies have, with the same operators."""
    labels = [list(study.scans.loc[study.scans["dataset"] == dataset, "postprocessing"].unique()) for study in studies]
    for label in labels[0]:
        if not all(label in others for others in labels):
            notes.append(f"{dataset}: postprocessing {label} is not in all of {', '.join(s.name for s in studies)}")
            continue
        operators = [_settings(study, "postprocess", dataset, label).get("postprocessing") for study in studies]
        if all(each == operators[0] for each in operators):
            yield label
        else:
            notes.append(f"{dataset}: postprocessing {label} has other operators in {studies[0].name} than in others")


def _listed_once(
    studies: Sequence[Finished], shared: Mapping[str, list[tuple[str, str]]], notes: list[str]
) -> dict[str, list[str]]:
    """The models of each study without those whose AUPRC and scores are those of the same label in an earlier one."""
    known: dict[str, list[tuple[str, pd.DataFrame]]] = {}
    kept: dict[str, list[str]] = {}
    for study in studies:
        rows, again = _chosen(study.scans, shared[study.name]), dict[str, list[str]]()
        kept[study.name] = []
        for model, own in rows.groupby("model", sort=False):
            numbers = own.set_index(KEYS)[["auprc", "score"]].sort_index()
            earlier = known.setdefault(str(model), [])
            same = next((name for name, each in earlier if numbers.equals(each)), "")
            (again.setdefault(same, []) if same else kept[study.name]).append(str(model))
            earlier.append((study.name, numbers))
        notes += [f"{study.name}: {', '.join(models)} as in {name}, listed once" for name, models in again.items()]
    return kept


def _chosen(table: pd.DataFrame, shared: Sequence[tuple[str, str]]) -> pd.DataFrame:
    places = zip(table["dataset"], table["postprocessing"], strict=True)
    return table.loc[[place in shared for place in places]]


def _rows(
    study: Finished, table: Literal["metrics", "scans"], shared: Sequence[tuple[str, str]], models: Sequence[str]
) -> pd.DataFrame:
    rows = _chosen(getattr(study, table), shared)
    rows = rows[rows["model"].isin(models)]
    return rows.assign(model=study.name + "/" + rows["model"].astype(str))
