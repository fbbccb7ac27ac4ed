"""Order statistics of more values than memory holds, exactly: the values wait in a file, memory holds counts.

The bit patterns of float32 can be numbered in the order of their values. One pass counts by the upper 16 bits of that
number, a second one by the lower 16 bits within the few bins that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt32

Values = Float[np.ndarray, "n"]
Ranks = UInt32[np.ndarray, "n"]

BITS = 16
BINS = 1 << BITS
CHUNK = 1 << 18  # values that are read at once
ROUNDING = 1e-9
GROUP = 8  # bins that are searched at once: 2 x 8 x 65,536 counts of 8 bytes are 8 MB


class OrderedValues:
    """float32 values in the file `path`, which must not exist; `counts`: how many lie in each of the 65,536 bins.

    `sizes`: how many values each call of `add` brought.
    """

    def __init__(self, path: Path):
        self._path = path
        path.touch(exist_ok=False)
        self.counts: Int[np.ndarray, "bins"] = np.zeros(BINS, np.int64)
        self.sizes: list[int] = []

    def __len__(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    def add(self, values: Values) -> None:
        """Append values in any order; -0 becomes 0. Raises OSError where the file system refuses."""
        ranks = ordered_bits(np.asarray(values, np.float32))
        self.counts += np.bincount(ranks >> BITS, minlength=BINS)
        self.sizes.append(len(ranks))
        with self._path.open("ab") as file:
            file.write(ranks.data)

    def quantile(self, quantile: float) -> float:
        """What `numpy.quantile` gives for the array of all values, to the last bit; there must be some."""
        last = len(self) - 1
        index = np.float32(last) * np.float32(quantile)  # NumPy takes the array's type too
        low = last if index >= np.float32(last) else int(index)
        first, second = self._at([low, min(low + 1, last)])
        share, step = index - np.float32(low), second - first
        return float(first + step * share if share < 0.5 else second - step * (1 - share))

    def within(self, bins: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n 65536"]:
        """How many values have each of the lower 16 bits, in each of these bins."""
        place = np.full(BINS, -1, np.int64)
        place[bins] = np.arange(len(bins))
        counts = np.zeros(len(bins) * BINS, np.int64)
        with self._path.open("rb") as file:
            while (ranks := np.fromfile(file, np.uint32, CHUNK)).size:
                row = place[ranks >> BITS]
                inside = row >= 0
                counts += np.bincount(row[inside] * BINS + (ranks[inside] & (BINS - 1)), minlength=len(counts))
        return counts.reshape(len(bins), BINS)

    def parts(self) -> Iterator[Iterator[Ranks]]:
        """The ranks of what each call of `add` brought, in chunks; each part is to be read to its end in turn."""
        with self._path.open("rb") as file:
            for size in self.sizes:
                yield (np.fromfile(file, np.uint32, min(CHUNK, size - at)) for at in range(0, size, CHUNK))

    def _at(self, places: Sequence[int]) -> Values:
        """The values at these places of the ascending order."""
        upto = np.cumsum(self.counts)
        bins = np.searchsorted(upto, places, side="right")
        found = []
        for bin_, place, counts in zip(bins, places, self.within(np.unique(bins))[_rows(bins)], strict=True):
            before = upto[bin_] - self.counts[bin_]
            found.append((bin_ << BITS) + np.searchsorted(np.cumsum(counts), place - before, side="right"))
        return _values(np.array(found, np.uint32))


def best_dice(lesion: OrderedValues, normal: OrderedValues) -> float:
    """The threshold above which predicted voxels have the best pooled Dice; of equals the highest.

    `lesion`, `normal`: values of the map in and outside lesions; there must be some in lesions. Dice can only peak at
    one of their values. Bins whose Dice cannot reach that of another bin are not searched.
    """
    total = len(lesion)
    hits, false = _at_or_above(lesion.counts), _at_or_above(normal.counts)
    occupied = np.flatnonzero(lesion.counts)
    floor = _dice(hits, false, total)[occupied].max()  # at the lowest value of a bin it is at least this
    most = _dice(hits, false - normal.counts, total)  # and at its other values at most this
    waiting = occupied[np.argsort(-most[occupied], kind="stable")]
    best = -1.0, 0
    while len(waiting := waiting[most[waiting] >= max(floor, best[0])]):
        bins, waiting = waiting[:GROUP], waiting[GROUP:]
        inside = lesion.within(bins)
        above = (hits - lesion.counts)[bins, None], (false - normal.counts)[bins, None]
        dice = _dice(above[0] + _at_or_above(inside), above[1] + _at_or_above(normal.within(bins)), total)
        dice[inside == 0] = -1
        row, low = np.nonzero(dice == dice.max())
        best = max(best, (float(dice.max()), int(((bins[row] << BITS) + low).max())))
    return float(np.nextafter(_values(np.array([best[1]], np.uint32))[0], np.float32(-np.inf)))


def lowest_cut(values: OrderedValues, weights: Sequence[float], largest: float, budget: float) -> float:
    """The lowest value above which the weighted shares of the parts sum to at most `budget`, which is 0 or more.

    The lowest value of all where the budget is never reached; there must be some.

    A part is what one call of `add` brought, such as a scan; `weights`: one for each; `largest`: what a part's share
    counts at most.
    """
    by_bin = np.zeros(BINS)
    for part, size, weight in zip(values.parts(), values.sizes, weights, strict=True):
        counts = sum((np.bincount(ranks >> BITS, minlength=BINS) for ranks in part), np.zeros(BINS, np.int64))
        by_bin += weight * _shares(_at_or_above(counts) - counts, size, largest)
    bin_ = max(int(np.argmax(by_bin <= budget + ROUNDING)), int(np.flatnonzero(values.counts)[0]))
    in_bin, lowest = np.zeros(BINS), BINS - 1
    for part, size, weight in zip(values.parts(), values.sizes, weights, strict=True):
        inside, higher = np.zeros(BINS, np.int64), 0
        for ranks in part:
            high = ranks >> BITS
            higher += int((high > bin_).sum())
            inside += np.bincount(ranks[high == bin_] & (BINS - 1), minlength=BINS)
        in_bin += weight * _shares(_at_or_above(inside) - inside + higher, size, largest)
        lowest = min([lowest, *np.flatnonzero(inside)[:1].tolist()])
    low = max(int(np.argmax(in_bin <= budget + ROUNDING)), lowest)
    return float(_values(np.array([(bin_ << BITS) + low], np.uint32))[0])


def _shares(counts: np.ndarray, size: int, largest: float) -> np.ndarray:
    return np.minimum(counts / max(size, 1), largest)


def _dice(hits: np.ndarray, false: np.ndarray, total: int) -> np.ndarray:
    return np.asarray(2 * hits / (hits + false + total))


def _at_or_above(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def _rows(bins: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The place of each bin among the distinct ones."""
    return np.unique(bins, return_inverse=True)[1]


def ordered_bits(values: Values) -> Ranks:
    """The number of each value's bit pattern in the order of values."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0 + 0 is 0
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _values(ranks: Ranks) -> Values:
    return np.where(ranks >> 31, ranks ^ np.uint32(1 << 31), ~ranks).view(np.float32)
