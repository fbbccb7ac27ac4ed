"""All voxels of a data set together: counts by bin for each scan, so that any resample of scans is a weighted sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from brainuad.evaluate import voxelwise
from brainuad.evaluate.scan import MapValues
from brainuad.evaluate.statistics import Weights, interval
from brainuad.evaluate.voxelwise import Sweep

Values = Float[np.ndarray, "n"]

SAMPLE = 20_000  # values of a scan that help to place the bins
CHUNK = 50  # resamples at once: 50 x 8192 bins x 8 bytes, a few times
PR_POINTS, HISTOGRAM_BINS = 200, 80


class Spool:
    """The sorted values of each scan's map, on disk: memory holds one scan, and a sample of all."""

    def __init__(self, folder: Path):
        self.folder, self.scans = folder, 0
        self.samples: dict[str, list[Values]] = {"lesion": [], "normal": []}

    def add(self, values: MapValues) -> None:
        """Keep the values of one more scan."""
        for kind, kept in self.samples.items():
            ordered: Values = getattr(values, kind)
            np.save(self._path(self.scans, kind), ordered)
            if ordered.size:
                kept.append(ordered[np.linspace(0, ordered.size - 1, min(SAMPLE, ordered.size)).astype(np.intp)])
        self.scans += 1

    def sample(self, kind: str) -> Values:
        """Values of all scans in (`lesion`) or outside (`normal`) lesions: all of a scan, or 20,000 evenly spaced."""
        return np.concatenate(self.samples[kind] or [np.zeros(0, np.float32)])

    def counts(self, kind: str, at: Values) -> Float[np.ndarray, "scans bins"]:
        """Voxels of each scan in the bins that begin at `at`."""
        return np.stack([voxelwise.counts(values, at) for values in self._read(kind)]).astype(float)

    def _read(self, kind: str) -> Iterator[Values]:
        for scan in range(self.scans):
            yield np.load(self._path(scan, kind), mmap_mode="r")

    def _path(self, scan: int, kind: str) -> Path:
        return self.folder / f"{scan}_{kind}.npy"


@dataclass(frozen=True)
class Pooled:
    """Counts by scan and bin; `at`: where the bins begin, in units of the map."""

    lesion: Float[np.ndarray, "scans bins"]
    normal: Float[np.ndarray, "scans bins"]
    at: Values


def pool(spool: Spool) -> Pooled:
    """Count all scans in common bins."""
    at = voxelwise.edges(spool.sample("lesion"), spool.sample("normal"))
    return Pooled(spool.counts("lesion", at), spool.counts("normal", at), at)


def areas(pooled: Pooled, weights: Weights | None) -> dict[str, tuple[float, float, float]]:
    """`auprc_pooled`, `auroc_pooled` and the best `dice_pooled` over all cuts, with intervals.

    The best cut is sought anew in each resample.
    """

    def each(weight: Float[np.ndarray, "*resamples scans"]) -> Float[np.ndarray, "3 *resamples"]:
        sweep = Sweep.of(weight @ pooled.lesion, weight @ pooled.normal)
        return np.stack([sweep.auprc(), sweep.auroc(), sweep.dice().max(axis=-1)])

    value = each(np.ones(len(pooled.lesion)))
    spread = None
    if weights is not None:
        spread = np.concatenate([each(weights[i : i + CHUNK]) for i in range(0, len(weights), CHUNK)], axis=1)
    names = ("auprc_pooled", "auroc_pooled", "dice_pooled")
    return {name: (float(value[i]), *interval(None if spread is None else spread[i])) for i, name in enumerate(names)}


def oracle_cut(pooled: Pooled) -> float:
    """The cut with the best pooled Dice. Sees the test labels.

    Voxels of the cut or more are marked; of equals the highest cut.
    """
    dice = Sweep.of(pooled.lesion.sum(axis=0), pooled.normal.sum(axis=0)).dice()
    return float(pooled.at[_last_best(dice)])


def oracle_dice(pooled: Pooled, shares: Values) -> Values:
    """Dice of each scan (NaN without lesion and mark) at the one cut where their mean is best. Sees the test labels.

    `shares`: weight of each scan in that mean.
    """
    hits, false = (part[:, ::-1].cumsum(axis=1)[:, ::-1] for part in (pooled.lesion, pooled.normal))
    total = hits + false + pooled.lesion.sum(axis=1, keepdims=True)
    dice = np.divide(2 * hits, total, out=np.full(total.shape, np.nan), where=total > 0)
    valid = np.isfinite(dice) * shares[:, None]
    mean = np.nansum(dice * shares[:, None], axis=0) / np.maximum(valid.sum(axis=0), 1e-12)
    return dice[:, _last_best(mean)]


def _last_best(values: Values) -> int:
    return len(values) - 1 - int(np.argmax(values[::-1]))


def curves(spool: Spool, pooled: Pooled | None) -> list[tuple[str, float, float]]:
    """(kind, x, y): the precision-recall curve, and histograms of the map as densities over bins of even width.

    Without lesions (`pooled` is None) the histogram of `healthy` voxels alone.
    """
    kinds = {"healthy": "normal"} if pooled is None else {"normal": "normal", "lesion": "lesion"}
    ends = np.array([np.quantile(spool.sample(kind), [0.001, 0.999]) for kind in kinds.values()])
    low, high = float(ends.min()), float(ends.max())
    at = np.linspace(low, high if high > low else low + 1, HISTOGRAM_BINS + 1)
    rows: list[tuple[str, float, float]] = []
    if pooled is not None:
        sweep = Sweep.of(pooled.lesion.sum(axis=0), pooled.normal.sum(axis=0))
        recall, precision = sweep.precision_recall(PR_POINTS)
        rows += [("pr", float(x), float(y)) for x, y in zip(recall, precision, strict=True)]
    for name, kind in kinds.items():
        found = spool.counts(kind, at[:-1]).sum(axis=0)
        heights = found / found.sum() / (at[1] - at[0])
        rows += [(name, float(x), float(y)) for x, y in zip(at, heights, strict=False)]
    return rows
