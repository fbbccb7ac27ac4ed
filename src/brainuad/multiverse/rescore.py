"""`brainuad multiverse`: from the maps of a study to values and ranks under every choice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from brainuad.config.datasets import OnDisk
from brainuad.config.reading import Reading
from brainuad.errors import InputError
from brainuad.evaluate.scoring_grid import OwnScans, placed_scans
from brainuad.formats import array_cache as array_caches
from brainuad.formats import checksums
from brainuad.formats.maps import anomaly_path
from brainuad.layout import Layout
from brainuad.multiverse.choices import Choice, Grid
from brainuad.multiverse.progress import Progress
from brainuad.multiverse.scoring import (
    Counts,
    Run,
    Thresholds,
    count_scan,
    find_all_thresholds,
    require_related,
    value,
)
from brainuad.multiverse.stability import ranks
from brainuad.postprocess.find_thresholds import ValidationSet

THRESHOLDS, SCANS = "finding thresholds", "scoring maps"
COLUMNS = {
    "dataset": "label of the test data set",
    "metric": "AUPRC, Dice, lesion recall or lesion F1",
    "pooling": "per scan: mean over patients of each scan's number; pooled: over the voxels or lesions of all scans",
    "postprocessing": "of AUPRC, the first with these map operators",
    "threshold_rule": "empty for AUPRC",
    "hit_rule": "rule of `evaluate.matching`; empty for AUPRC and Dice",
    "min_lesion_ml": "volume from which on lesions and components count, in ml; likewise",
    "model": "label of the model",
    "seeds": "trainings whose mean the value is",
    "value": "value of the metric; empty where it is undefined",
    "rank": "rank of the model under this choice; 1: the highest value",
}


@dataclass(frozen=True)
class Universe:
    """A data set under every choice. `values`: mean over seeds; NaN where a metric is undefined."""

    dataset: str
    models: list[str]
    seeds: list[int]
    """How many of each model."""
    choices: list[Choice]
    values: Float[np.ndarray, "choices models"]
    scans: int
    patients: int


@dataclass(frozen=True)
class Runs:
    """The runs whose maps are there, by data set, and those whose maps are not, in words."""

    there: dict[str, list[Run]]
    missing: list[str]


def find_runs(layout: Layout) -> Runs:
    """The runs with maps of a data set and of all validation scans. Raises InputError if no data set has two models."""
    study = layout.study
    there: dict[str, list[Run]] = {}
    missing = []
    for dataset in scored_datasets(layout):
        there[dataset] = []
        for model, seed, _ in layout.runs(dataset):
            needed = {label: layout.maps(model, seed, label) for label in [dataset, *study.threshold_sets(dataset)]}
            if absent := [label for label, maps in needed.items() if not (maps / checksums.NAME).exists()]:
                missing.append(f"{model}, seed {seed}: no anomaly maps of {' and '.join(absent)}")
            else:
                there[dataset].append(Run(model, seed, needed))
    if not any(len({run.model for run in runs}) > 1 for runs in there.values()):
        why = "; ".join(missing) or f"the study has {len(study.models)} models and {len(there)} data sets with lesions"
        do = "run the study first" if len(study.models) > 1 else "add a model to the study, and run it"
        raise InputError("there are no two models to rank", file=layout.folder, why=why, do=do)
    return Runs({dataset: runs for dataset, runs in there.items() if len({run.model for run in runs}) > 1}, missing)


def scored_datasets(layout: Layout) -> list[str]:
    """Labels of the data sets whose test scans hold lesions."""
    found = []
    for dataset in layout.study.scored_sets():
        if (layout.array_cache(dataset) / checksums.NAME).exists():
            path = layout.array_cache(dataset)
            scans, lesions = array_caches.read(path).scans, array_caches.read_lesions(path)
            if any(scan.role == "test" and lesions[row].any() for row, scan in enumerate(scans)):
                found.append(dataset)
    return found


def rescore(layout: Layout, runs: Runs, grid: Grid, folder: Path) -> list[Universe]:
    """Score every run of every data set under every choice. `folder`: for temporary files.

    Raises InputError for maps and array caches that do not belong together or are not what was written.
    """
    caches = {dataset: layout.array_cache(dataset) for dataset in runs.there}
    own = {dataset: layout.study.own_calibration(dataset) for dataset in runs.there}
    distinct = {
        (own[dataset], run.model, run.seed): (dataset, run) for dataset, each in runs.there.items() for run in each
    }
    scans = {
        dataset: sum(scan.role == "test" for scan in array_caches.read(cache).scans)
        for dataset, cache in caches.items()
    }
    steps = {
        THRESHOLDS: len(distinct) * len(grid.by_map_operators()),
        SCANS: sum(scans[dataset] * len(each) for dataset, each in runs.there.items()),
    }
    progress = Progress(steps)
    for dataset, each in runs.there.items():
        for run in each:
            require_related(run, dataset, caches[dataset])
    rim = layout.study.evaluate.erode_voxels
    thresholds = {
        key: find_all_thresholds(_validation(layout, *where), grid, rim, folder, lambda: progress.step(THRESHOLDS))
        for key, where in distinct.items()
    }
    return [
        _universe(dataset, caches[dataset], each, thresholds, grid, layout, progress)
        for dataset, each in runs.there.items()
    ]


def table(universes: Iterable[Universe]) -> pd.DataFrame:
    """`multiverse.tsv`: a row for each data set, choice and model."""
    rows = []
    for each in universes:
        for choice, values, places in zip(each.choices, each.values, ranks_or_nan(each.values), strict=True):
            rows += [
                {"dataset": each.dataset, **asdict(choice), "model": model, "seeds": seeds, "value": one, "rank": rank}
                for model, seeds, one, rank in zip(each.models, each.seeds, values, places, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ranks_or_nan(values: Float[np.ndarray, "choices models"]) -> Float[np.ndarray, "choices models"]:
    """Ranks; NaN under choices in which a model has no value."""
    whole = np.isfinite(values).all(axis=1)
    places = np.full(values.shape, np.nan)
    places[whole] = ranks(values[whole])
    return places


def own_scans(layout: Layout, dataset: str) -> OwnScans | None:
    """Where the scans of a data set come from, if the study scores them on their own grids."""
    if layout.study.evaluate.space != "native":
        return None
    origin = layout.origin(dataset)
    settings = layout.study.scan_sets()[origin]
    reading = settings.reading if isinstance(settings, OnDisk) else Reading()
    return OwnScans(layout.preprocessed(origin), reading)


def _validation(layout: Layout, dataset: str, run: Run) -> list[ValidationSet]:
    datasets = layout.study.datasets
    return [
        ValidationSet(run.maps[label], layout.array_cache(label), datasets[label].healthy, role)
        for label, role in layout.study.threshold_sets(dataset).items()
    ]


def _universe(
    dataset: str,
    cache: Path,
    runs: Sequence[Run],
    thresholds: dict[tuple[str | None, str, int], Thresholds],
    grid: Grid,
    layout: Layout,
    progress: Progress,
) -> Universe:
    counts = {(run.model, run.seed): Counts.empty(grid) for run in runs}
    people = []
    opened, settings = array_caches.read(cache), layout.study.evaluate
    for placed in placed_scans(opened, cache, settings, own_scans(layout, dataset)):
        people.append(placed.truth.facts.person)
        for run in runs:
            key = run.model, run.seed
            path = anomaly_path(run.maps[dataset], placed.truth.facts.scan)
            own = layout.study.own_calibration(dataset)
            count_scan(path, opened, placed, grid, thresholds[own, *key], counts[key])
            progress.step(SCANS)
    by_model: dict[str, list[Counts]] = defaultdict(list)
    for (model, _), each in counts.items():
        by_model[model].append(each)
    choices = grid.choices()
    values = [
        [np.mean([value(choice, each, grid, people) for each in seeds]) for seeds in by_model.values()]
        for choice in choices
    ]
    return Universe(
        dataset,
        list(by_model),
        [len(each) for each in by_model.values()],
        choices,
        np.array(values),
        len(people),
        len(set(people)),
    )
