"""All voxels of a data set together: counts by bin for each scan, so that any sample of scans is a weighted sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from brainuad.metrics import voxelwise
from brainuad.metrics.statistics import Number, Weights, interval
from brainuad.metrics.voxelwise import Sweep

Values = Float[np.ndarray, "n"]
VoxelClass = Literal["lesion", "normal"]

SAMPLE = 20_000  # values of a scan that help to place the bins
CHUNK = 50  # samples at once: 50 x 8192 bins x 8 bytes, a few times
PR_POINTS, HISTOGRAM_BINS = 200, 80


@dataclass(frozen=True)
class MapValues:
    """The map of a scan: values in and outside lesions, in ascending order, and its areas (NaN where undefined)."""

    lesion: Values
    normal: Values
    auprc: float
    auroc: float
    lost: int = 0
    """Lesion voxels outside the scored brain."""


class ValuesOnDisk:
    """The sorted values of each scan's map, on disk: memory holds one scan, and a sample of all."""

    def __init__(self, folder: Path):
        self.folder, self.scans = folder, 0
        self.lost: list[int] = []
        """Of each scan, lesion voxels outside the scored brain."""
        self.samples: dict[VoxelClass, list[Values]] = {"lesion": [], "normal": []}

    def add(self, values: MapValues) -> None:
        """Keep the values of one more scan."""
        of_class: dict[VoxelClass, Values] = {"lesion": values.lesion, "normal": values.normal}
        for name, ordered in of_class.items():
            np.save(self._path(self.scans, name), ordered)
            if ordered.size:
                places = np.linspace(0, ordered.size - 1, min(SAMPLE, ordered.size)).astype(np.intp)
                self.samples[name].append(ordered[places])
        self.lost.append(values.lost)
        self.scans += 1

    def sample(self, name: VoxelClass) -> Values:
        """Values of all scans in (`lesion`) or outside (`normal`) lesions: all of a scan, or 20,000 evenly spaced."""
        return np.concatenate(self.samples[name] or [np.zeros(0, np.float32)])

    def counts(self, name: VoxelClass, edges: Values) -> Float[np.ndarray, "scans bins"]:
        """Voxels of each scan in the bins that begin at `edges`."""
        return np.stack([voxelwise.bin_counts(values, edges) for values in self._read(name)]).astype(float)

    def _read(self, name: VoxelClass) -> Iterator[Values]:
        for scan in range(self.scans):
            yield np.load(self._path(scan, name), mmap_mode="r")

    def _path(self, scan: int, name: VoxelClass) -> Path:
        return self.folder / f"{scan}_{name}.npy"


@dataclass(frozen=True)
class BinnedCounts:
    """Voxels by scan and bin; `edges`: where the bins begin, in units of the map."""

    lesion: Float[np.ndarray, "scans bins"]
    normal: Float[np.ndarray, "scans bins"]
    edges: Values
    lost: Float[np.ndarray, "scans"]
    """Lesion voxels outside the scored brain, in no bin."""

    def sweep(self, weights: Float[np.ndarray, "*samples scans"]) -> Sweep:
        """All thresholds, over scans that count by their weight."""
        return Sweep.of(weights @ self.lesion, weights @ self.normal, weights @ self.lost)

    def pool(self) -> Sweep:
        """All thresholds, over all scans."""
        return self.sweep(np.ones(len(self.lesion)))


@dataclass(frozen=True)
class PooledAreas:
    """Numbers over the voxels of all scans; `best_dice`: over all thresholds, sought anew each time."""

    auprc: Number
    auroc: Number
    best_dice: Number


def count_in_bins(values: ValuesOnDisk) -> BinnedCounts:
    """Count all scans in common bins."""
    edges = voxelwise.bin_edges(values.sample("lesion"), values.sample("normal"))
    lost = np.array(values.lost, dtype=float)
    return BinnedCounts(values.counts("lesion", edges), values.counts("normal", edges), edges, lost)


def pooled_areas(counts: BinnedCounts, weights: Weights | None) -> PooledAreas:
    """Areas and best Dice over the voxels of all scans, with intervals."""

    def each(weight: Float[np.ndarray, "*samples scans"]) -> Float[np.ndarray, "3 *samples"]:
        sweep = counts.sweep(weight)
        return np.stack([sweep.auprc(), sweep.auroc(), sweep.dice().max(axis=-1)])

    value = each(np.ones(len(counts.lesion)))
    spread = None
    if weights is not None:
        spread = np.concatenate([each(weights[i : i + CHUNK]) for i in range(0, len(weights), CHUNK)], axis=1)
        spread[np.isnan(spread).any(axis=1)] = np.nan  # what rests on one patient alone
    intervals = [interval(float(value[i]), None if spread is None else spread[i]) for i in range(3)]
    auprc, auroc, dice = ((float(number), *ends) for number, ends in zip(value, intervals, strict=True))
    return PooledAreas(auprc, auroc, dice)


def oracle_threshold(counts: BinnedCounts) -> float:
    """The threshold with the best pooled Dice. Sees the test labels.

    Voxels at the threshold or above are predicted; of equals the highest threshold.
    """
    return float(counts.edges[_last_best(counts.pool().dice())])


def oracle_dice(counts: BinnedCounts, shares: Values) -> Values:
    """Dice of each scan (NaN without lesion and prediction) at the one threshold where their mean is best.

    `shares`: weight of each scan in that mean. Sees the test labels.
    """
    sweep = Sweep.of(counts.lesion, counts.normal, counts.lost)
    total = sweep.true_positives + sweep.false_positives + sweep.lesion[:, None]
    dice = np.divide(2 * sweep.true_positives, total, out=np.full(total.shape, np.nan), where=total > 0)
    valid = np.isfinite(dice) * shares[:, None]
    mean = np.nansum(dice * shares[:, None], axis=0) / np.maximum(valid.sum(axis=0), 1e-12)
    return dice[:, _last_best(mean)]


def _last_best(values: Values) -> int:
    return len(values) - 1 - int(np.argmax(values[::-1]))


def curves(values: ValuesOnDisk, counts: BinnedCounts | None) -> list[tuple[str, float, float]]:
    """(curve, x, y): the precision-recall curve, and histograms of the map as densities over bins of even width.

    Without lesions (`counts` is None) the histogram of `healthy` voxels alone.
    """
    classes: dict[str, VoxelClass] = (
        {"healthy": "normal"} if counts is None else {"normal": "normal", "lesion": "lesion"}
    )
    classes = {curve: name for curve, name in classes.items() if values.sample(name).size}
    ends = np.array([np.quantile(values.sample(name), [0.001, 0.999]) for name in classes.values()])
    low, high = float(ends.min()), float(ends.max())
    edges = np.linspace(low, high if high > low else low + 1, HISTOGRAM_BINS + 1)
    rows: list[tuple[str, float, float]] = []
    if counts is not None and counts.lesion.any():
        recall, precision = counts.pool().precision_recall(PR_POINTS)
        rows += [("pr", float(x), float(y)) for x, y in zip(recall, precision, strict=True)]
    for curve, name in classes.items():
        voxels = values.counts(name, edges[:-1]).sum(axis=0)
        heights = voxels / voxels.sum() / (edges[1] - edges[0])
        rows += [(curve, float(x), float(y)) for x, y in zip(edges, heights, strict=False)]
    return rows
