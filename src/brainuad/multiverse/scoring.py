"""Read the maps of a study and count them under every choice: each map once for each list of map operators."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from brainuad.evaluate.scan import map_values
from brainuad.evaluate.scoring_grid import PlacedScan
from brainuad.formats import checksums, maps
from brainuad.formats.array_cache import ArrayCache
from brainuad.metrics import lesionwise, statistics
from brainuad.metrics.lesionwise import Lesions
from brainuad.metrics.pooled import MapValues
from brainuad.metrics.voxelwise import Sweep
from brainuad.multiverse.choices import AUPRC, DICE, LESION_RECALL, Choice, Grid
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
    lost: list[int] = field(default_factory=list)
    """Lesion voxels of each scan outside the scored brain, which count as missed."""
    voxels: list[Float[np.ndarray, "postprocessings rules 3"]] = field(default_factory=list)
    """Of each scan: true positives, predicted voxels, lesion voxels."""
    lesions: list[Float[np.ndarray, "postprocessings rules hits sizes 3"]] = field(default_factory=list)
    """Of each scan: lesions, those that are detected, false positives."""

    @cached_property
    def all_voxels(self) -> Float[np.ndarray, "scans postprocessings rules 3"]:
        """`voxels`, and `all_lesions` likewise, once all scans are read."""
        return np.array(self.voxels)

    @cached_property
    def all_lesions(self) -> Float[np.ndarray, "scans postprocessings rules hits sizes 3"]:
        return np.array(self.lesions)

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
    lesions = np.full((len(labels), len(rules), len(grid.hits), len(grid.sizes), 3), np.nan)
    for chain, members in grid.by_map_operators().items():
        processed = process_map(anomaly, image, brain, opened.spacing, grid.postprocessings[chain].on_map())
        moved = placed.grid.moved(processed)
        values = map_values(moved, truth)
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
                lesions[place] = _lesion_counts(predicted, moved[truth.box], truth.lesions, grid)
    counts.lost.append(truth.lost)
    counts.voxels.append(voxels)
    counts.lesions.append(lesions)


def _lesion_counts(predicted: Mask, anomaly: Map, lesions: Lesions, grid: Grid) -> Float[np.ndarray, "hits sizes 3"]:
    """Of one mask: lesions, detected ones and false positives by hit rule and minimal size."""
    found = lesionwise.components_beside(lesions, predicted, anomaly)
    counts = []
    for sizes in grid.lesion_settings():
        each = [lesionwise.paired(lesions, found, settings) for settings in sizes]
        counts.append([(len(one.detected), one.detected.sum(), one.component_false.sum()) for one in each])
    return np.array(counts, dtype=float)


def _add_bins(bins: Int[np.ndarray, "2 bins"], values: MapValues) -> None:
    for row, each in zip(bins, (values.lesion, values.normal), strict=True):
        row += np.bincount(ordered_bits(each) >> BITS, minlength=BINS)


def value(choice: Choice, counts: Counts, grid: Grid, people: Sequence[str]) -> float:
    """The value of a run under a choice; NaN where it is undefined. `people`: the person of each scan."""
    if choice.metric == AUPRC:
        if choice.pooling == "pooled":
            return _pooled_auprc(counts, choice.postprocessing)
        return _mean(np.array(counts.auprc[choice.postprocessing]), people)
    place = list(grid.postprocessings).index(choice.postprocessing)
    rule = [rule.label for rule in grid.rules].index(choice.threshold_rule)
    if choice.metric == DICE:
        true, predicted, lesion = counts.all_voxels[:, place, rule].T
        return _ratio(choice, 2 * true, predicted + lesion, people)
    hit, size = grid.hits.index(choice.hit_rule), [f"{size:g}" for size in grid.sizes].index(choice.min_lesion_ml)
    lesions, detected, false = counts.all_lesions[:, place, rule, hit, size].T
    if choice.metric == LESION_RECALL:
        return _ratio(choice, detected, lesions, people)
    return _ratio(choice, 2 * detected, detected + false + lesions, people)


def _pooled_auprc(counts: Counts, chain: str) -> float:
    lesion, normal = counts.bins[chain].astype(float)
    sweep = Sweep.of(lesion, normal, float(sum(counts.lost)))
    return float(sweep.auprc()) if sweep.lesion > 0 else np.nan


def _ratio(choice: Choice, numerator: PerScan, denominator: PerScan, people: Sequence[str]) -> float:
    if choice.pooling == "pooled":
        numerator, denominator = numerator.sum(keepdims=True), denominator.sum(keepdims=True)
        people = ["all"]
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean(np.where(denominator > 0, numerator / denominator, np.nan), people)


def _mean(values: PerScan, people: Sequence[str]) -> float:
    return statistics.patient_mean(values, people, None)[0] if np.isfinite(values).any() else np.nan


def require_related(run: Run, dataset: str, cache: Path) -> None:
    """Raises InputError unless the maps of a run on a data set were made of its array cache as it is."""
    tags = {"model": run.model, "seed": str(run.seed), "dataset": dataset}
    maps.checked(run.maps[dataset], tags, array_cache=checksums.read(cache).seal)
