"""Read the maps of a study and count them under every choice: each map once for each list of map operators."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from brainuad.evaluate.scan import map_values
from brainuad.evaluate.scoring_grid import PlacedScan
from brainuad.formats import checksums, maps
from brainuad.formats.array_cache import ArrayCache
from brainuad.metrics import statistics
from brainuad.metrics.pooled import MapValues
from brainuad.metrics.voxelwise import Sweep
from brainuad.multiverse.choices import AUPRC, DICE, LESION_RECALL, Choice, Grid
from brainuad.multiverse.hits import FALSE, FOUND, LESIONS, TRUE, lesion_counts
from brainuad.postprocess.apply import predicted_mask, process_map
from brainuad.postprocess.find_thresholds import ValidationSet, Voxels, find_thresholds
from brainuad.postprocess.ordered_values import BINS, BITS, ordered_bits

Map = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
PerScan = Float[np.ndarray, "scans"]

Thresholds = Mapping[tuple[str, str], float]
"""Of one run, by list of map operators (its first label) and rule; without the rules that found none."""


@dataclass(frozen=True)
class Run:
    """One model and seed. `maps`: infer's folder of each data set."""

    model: str
    seed: int
    maps: Mapping[str, Path]


@dataclass(frozen=True)
class Counts:
    """Of one run on the scans of a data set, as far as they are read; NaN where a rule found no threshold."""

    auprc: dict[str, list[float]]
    """Of each scan, by list of map operators."""
    bins: dict[str, Int[np.ndarray, "2 bins"]]
    """Lesion voxels and others of all scans by value of the map, by list of map operators."""
    voxels: list[Float[np.ndarray, "postprocessings rules 3"]] = field(default_factory=list)
    """Of each scan: true positives, predicted voxels, lesion voxels."""
    lost: list[int] = field(default_factory=list)
    """Of each scan: lesion voxels outside the scored brain."""
    lesions: list[Float[np.ndarray, "postprocessings rules hits sizes 4"]] = field(default_factory=list)
    """Of each scan: as `hits.lesion_counts`."""

    @classmethod
    def empty(cls, grid: Grid) -> Counts:
        """Before the first scan."""
        chains = list(grid.by_map_operators())
        return cls({chain: [] for chain in chains}, {chain: np.zeros((2, BINS), np.int64) for chain in chains})


def find_all_thresholds(
    sets: Sequence[ValidationSet], grid: Grid, erode_voxels: int, folder: Path, done: Callable[[], None]
) -> Thresholds:
    """The thresholds of one run, from validation or calibration scans. `done`: called after each list of map operators.

    `erode_voxels`: what is not scored of the brain's rim.
    """
    values = {}
    for chain in grid.by_map_operators():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".values-") as place:
            found = find_thresholds(sets, grid.rules, Voxels(grid.postprocessings[chain], erode_voxels, Path(place)))
        values.update({(chain, rule): each.value for rule, each in found.items() if each.value is not None})
        done()
    return values


def count_scan(
    path: Path, opened: ArrayCache, placed: PlacedScan, grid: Grid, thresholds: Thresholds, counts: Counts
) -> None:
    """Add a scan to the counts of a run. `path`: its map."""
    brain, image, truth = opened.brain(placed.row), opened.image(placed.row), placed.truth
    anomaly = maps.read_map(path, brain.shape)
    labels, rules = list(grid.postprocessings), [rule.label for rule in grid.rules]
    voxels = np.full((len(labels), len(rules), 3), np.nan)
    lesions = np.full((len(labels), len(rules), len(grid.hits), len(grid.sizes), 4), np.nan)
    for chain, members in grid.by_map_operators().items():
        processed = process_map(anomaly, image, brain, opened.spacing, grid.postprocessings[chain].on_map())
        values = map_values(placed.grid.moved(processed), truth)
        counts.auprc[chain].append(values.auprc)
        _add_bins(counts.bins[chain], values)
        for label in members:
            steps = grid.postprocessings[label].on_mask()
            for number, rule in enumerate(rules):
                if (threshold := thresholds.get((chain, rule))) is None:
                    continue
                mask = placed.grid.moved(predicted_mask(processed, brain, opened.spacing, threshold, steps))
                predicted, place = mask[truth.box] & truth.scored, (labels.index(label), number)
                overlap = int((predicted & truth.lesion).sum())
                voxels[place] = overlap, int(predicted.sum()), truth.voxels
                lesions[place] = lesion_counts(predicted, truth, grid.hits, grid.sizes)
    counts.lost.append(truth.lost)
    counts.voxels.append(voxels)
    counts.lesions.append(lesions)


def _add_bins(bins: Int[np.ndarray, "2 bins"], values: MapValues) -> None:
    for row, each in zip(bins, (values.lesion, values.normal), strict=True):
        row += np.bincount(ordered_bits(each) >> BITS, minlength=BINS)


def value(choice: Choice, counts: Counts, grid: Grid, people: Sequence[str]) -> float:
    """The value of a run under a choice; NaN where it is undefined. `people`: the person of each scan."""
    if choice.metric == AUPRC:
        if choice.pooling == "pooled":
            lesion, normal = counts.bins[choice.postprocessing]
            sweep = Sweep.of(lesion.astype(float), normal.astype(float), float(sum(counts.lost)))
            return float(sweep.auprc()) if lesion.any() else np.nan
        return _mean(np.array(counts.auprc[choice.postprocessing]), people)
    place = list(grid.postprocessings).index(choice.postprocessing)
    rule = [rule.label for rule in grid.rules].index(choice.threshold_rule)
    if choice.metric == DICE:
        true, predicted, lesion = np.array(counts.voxels)[:, place, rule].T
        return _ratio(choice, 2 * true, predicted + lesion, people)
    hit, size = grid.hits.index(choice.hit_rule), [f"{size:g}" for size in grid.sizes].index(choice.min_lesion_ml)
    found = np.array(counts.lesions)[:, place, rule, hit, size].T
    if choice.metric == LESION_RECALL:
        return _ratio(choice, found[FOUND], found[LESIONS], people)
    return _f1(choice, found, people)


def _ratio(choice: Choice, numerator: PerScan, denominator: PerScan, people: Sequence[str]) -> float:
    if choice.pooling == "pooled":
        numerator, denominator = numerator.sum(keepdims=True), denominator.sum(keepdims=True)
        people = ["all"]
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean(np.where(denominator > 0, numerator / denominator, np.nan), people)


def _f1(choice: Choice, counts: Float[np.ndarray, "4 scans"], people: Sequence[str]) -> float:
    """Harmonic mean of lesion recall and precision: 0 if nothing is hit, NaN without lesion and component."""
    if choice.pooling == "pooled":
        counts, people = counts.sum(axis=1, keepdims=True), ["all"]
    lesions, found, true, false = counts[[LESIONS, FOUND, TRUE, FALSE]]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = found / lesions, true / (true + false)
        f1 = np.where(found > 0, 2 * recall * precision / (recall + precision), 0)
    return _mean(np.where(np.isnan(lesions) | (lesions + true + false == 0), np.nan, f1), people)


def _mean(values: PerScan, people: Sequence[str]) -> float:
    return statistics.patient_mean(values, people, None)[0] if np.isfinite(values).any() else np.nan


def require_related(run: Run, dataset: str, cache: Path) -> None:
    """Raises InputError unless the maps of a run on a data set were made of its array cache as it is."""
    tags = {"model": run.model, "seed": str(run.seed), "dataset": dataset}
    maps.checked(run.maps[dataset], tags, array_cache=checksums.read(cache).seal)
