"""evaluate: first each model × seed × data set, with all its postprocessings, then the tables of the study."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from brainuad.evaluate import comparisons
from brainuad.evaluate.collect import collect, has_test_scans
from brainuad.evaluate.scored import Scoring
from brainuad.evaluate.tables import CURVES, LESIONS, METRICS, SCANS, all_rows
from brainuad.formats import checksums, maps, run, tables
from brainuad.formats.files import atomic_folder
from brainuad.resources import recording

if TYPE_CHECKING:
    from brainuad.evaluate.evaluate_job import EvaluateInputs

FILES = {METRICS: tables.METRICS, SCANS: tables.SCANS, LESIONS: tables.LESIONS, CURVES: tables.CURVES}
"""What each job writes, and `summarise` joins: columns by file."""


def evaluate(inputs: EvaluateInputs, scoring: Scoring, out: Path, tags: Mapping[str, str]) -> None:
    """Score the test scans of one data set under every postprocessing; write tables and `run.json` into `out`.

    `tags`: at least model, seed and dataset. Without test scans the tables are empty. Raises InputError for missing or
    foreign maps, masks, scores and scans.
    """
    settings = scoring.settings
    record = run.Record("evaluate", dict(tags), settings.model_dump(mode="json"), seed=int(tags["seed"]))
    _require_related(inputs, tags)
    with atomic_folder(out) as folder, recording.recorded(folder, record):
        rows: dict[str, list[dict[str, object]]] = {name: [] for name in FILES}
        if has_test_scans(inputs):
            with tempfile.TemporaryDirectory(dir=folder, prefix=".values-") as values:
                scans, postprocessings = collect(inputs, scoring, Path(values))
                rows = all_rows(scans, postprocessings)
                record.facts["scans"] = len(scans.facts)
        common = {"model": tags["model"], "seed": int(tags["seed"]), "dataset": tags["dataset"]}
        for name, columns in FILES.items():
            shared = common | {"space": settings.space}
            further = tables.OF_SEQUENCES if name == SCANS else {}
            table = pd.DataFrame([{**shared, **row} for row in rows[name]], columns=[*columns, *further])
            tables.write(folder / name, table, columns)
        checksums.write(folder, checksums.of_files(folder, FILES), {name: str(value) for name, value in common.items()})


def summarise(folders: Sequence[Path], baselines: Sequence[str], out: Path) -> None:
    """Join the tables of all jobs into `out`, in the order of their labels, and add `comparisons.tsv`.

    `baselines`: labels of the trivial baselines, with which each other model is compared. Raises InputError for tables
    that are not what was written, and for two folders of one job.
    """
    _require_written(folders)
    joined: dict[str, pd.DataFrame] = {}
    for name, columns in FILES.items():
        parts = [part for folder in folders if len(part := tables.read(folder / name, columns))]
        whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
        joined[name] = whole.sort_values(["dataset", "model", "seed"], kind="stable", ignore_index=True)
        tables.write(out / name, joined[name], columns)
    compared = comparisons.compare(joined[SCANS], baselines)
    tables.write(out / "comparisons.tsv", compared, tables.COMPARISONS)


def _require_related(inputs: EvaluateInputs, tags: Mapping[str, str]) -> None:
    """Raises InputError unless maps, masks and array caches belong together and to this model, seed and data set."""
    found = maps.checked(inputs.maps, tags, array_cache=checksums.read(inputs.array_cache).seal)
    for label, folder in inputs.postprocessed().items():
        maps.checked(folder, {**tags, "postprocessing": label}, maps=found.seal)
    same = {name: tags[name] for name in ("model", "seed")}
    bundle = {name: value for name, value in found.made_of.items() if name == "bundle"}
    for folder, cache in dict.fromkeys([*inputs.controls(), *inputs.calibration()]):
        maps.checked(folder, same, array_cache=checksums.read(cache).seal, **bundle)


def _require_written(folders: Sequence[Path]) -> None:
    jobs: dict[tuple[tuple[str, str], ...], Path] = {}
    for folder in folders:
        record = checksums.read(folder)
        for name in FILES:
            record.check(folder / name)
        job = tuple(sorted(record.made_of.items()))
        if (other := jobs.setdefault(job, folder)) != folder:
            why = f"it is the same as {other}"
            raise record.refused("one of two folders is in another's place", folder, why)
