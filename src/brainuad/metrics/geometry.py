"""Whether an anomaly map lies on the brain of its scan, and where a map lies that does not.

A map has its value of the background outside the brain; where it has another, or none (NaN), it *reaches*. That part is
compared with the brain, without labels. Where the two differ, flips, swapped axes and shifts are tried, on the map and
on a map that was cut to the brain afterwards. What halves the difference is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from jaxtyping import Bool, Float

Mask = Bool[np.ndarray, "x y z"]
TOLERATED = 0.005
"""Symmetric difference of map and brain, in volumes of the brain, up to which a map lies on the brain."""
BETTER = 0.5
"""Largest difference after a move, relative to that before, at which the move is named."""
ODD_OUTSIDE = 0.02
"""Share of the map outside the brain above which a map that no move explains is `UNEXPLAINED`."""
MOST_EMPTY = 1 / 3
"""Share of the brain that a map inside it may leave empty: beyond, some move fits any gap, and none is named."""
UNEXPLAINED = "no flip, swap or shift explains it"
MOST_VOXELS = 128
"""Per axis, of the masks on which moves are tried; larger ones are thinned out."""
AXES = "xyz"


@dataclass(frozen=True)
class MapFit:
    """How a map lies on a brain: columns of `scans.tsv`."""

    map_empty: float
    """Share of the brain that the map does not reach, 0 to 1."""
    map_outside: float
    """Share of the map that lies outside the brain, 0 to 1."""
    map_moved: str
    """How the map was moved from the brain, in words, or that it does not follow it; empty where it lies there."""


def map_fit(anomaly: Float[np.ndarray, "x y z"], brain: Mask, spacing: tuple[float, float, float]) -> MapFit:
    """Compare a map with the brain mask of its scan, both on one grid with voxels of `spacing` mm."""
    reached = reach(anomaly, brain)
    inside, whole, total = int((reached & brain).sum()), int(brain.sum()), int(reached.sum())
    empty = 1 - inside / whole if whole else 0.0
    outside = 1 - inside / total if total else 0.0
    difference = (whole + total - 2 * inside) / max(whole, 1)
    if difference <= TOLERATED or not total or (outside <= ODD_OUTSIDE and empty > MOST_EMPTY):
        return MapFit(empty, outside, "")
    return MapFit(empty, outside, _moved(reached, brain, spacing, outside))


def reach(anomaly: Float[np.ndarray, "x y z"], brain: Mask) -> Mask:
    """Where a map has a finite value that is not its background: the commonest value outside the brain, else 0."""
    background = 0.0
    around = anomaly[~brain]
    if around.size and np.count_nonzero(around) > around.size / 2:
        values, counts = np.unique(around[np.isfinite(around)], return_counts=True)
        background = float(values[counts.argmax()]) if len(values) and counts.max() > around.size / 2 else 0.0
    return (anomaly != background) & np.isfinite(anomaly)


def _moved(reached: Mask, brain: Mask, spacing: tuple[float, float, float], outside: float) -> str:
    """The move of the brain that looks most like the map, in words."""
    step = -(-max(brain.shape) // MOST_VOXELS)
    reached, brain = (each[::step, ::step, ::step] for each in (reached, brain))
    before = np.count_nonzero(reached ^ brain)
    if not (reached.any() and brain.any()):  # nothing to move
        return UNEXPLAINED if outside > ODD_OUTSIDE else ""
    least, words = before, ""
    for moved, text in _moves(reached, brain, [step * size for size in spacing], step):
        error = min(np.count_nonzero(reached ^ moved), np.count_nonzero(reached ^ (moved & brain)))
        if error < least:
            least, words = error, text
    if least <= BETTER * before:
        return words
    return UNEXPLAINED if outside > ODD_OUTSIDE else ""


def _moves(reached: Mask, brain: Mask, size_mm: list[float], step: int) -> Iterator[tuple[Mask, str]]:
    """The brain after each move, the simplest first, and the move in words. `size_mm`: of a voxel."""
    flips = [axes for count in range(4) for axes in combinations(range(3), count)]
    for order in permutations(range(3)):
        for axes in flips:
            turned = np.flip(_of_shape(brain.transpose(order), brain.shape), axes)
            texts = [_swapped(order), "flipped along " + " and ".join(AXES[axis] for axis in axes) if axes else ""]
            if order == (0, 1, 2):
                for shift in _shifts(reached, turned):
                    along = [
                        f"{abs(voxels) * step} voxels ({abs(voxels) * size_mm[axis]:.0f} mm) along {AXES[axis]}"
                        for axis, voxels in enumerate(shift)
                        if voxels
                    ]
                    text = [f"shifted by {' and '.join(along)}"] if along else []
                    yield np.roll(turned, shift, (0, 1, 2)), " and ".join(filter(None, [*texts, *text]))
            else:
                yield turned, " and ".join(filter(None, texts))


def _shifts(reached: Mask, brain: Mask) -> Iterator[tuple[int, ...]]:
    """None; that by which the profiles agree best; and that of the outermost voxels, for a map that was then cut."""
    yield 0, 0, 0
    axes = range(3)
    profiles = [
        [each.sum(axis=tuple(other for other in axes if other != axis), dtype=float) for each in (reached, brain)]
        for axis in axes
    ]
    yield tuple(_best_shift(*pair) for pair in profiles)
    ends = [[np.flatnonzero(profile)[[0, -1]] for profile in pair] for pair in profiles]
    moved = [found - known for found, known in ends]
    yield tuple(int(each[np.abs(each).argmax()]) for each in moved)


def _best_shift(found: Float[np.ndarray, "n"], known: Float[np.ndarray, "n"]) -> int:
    most = len(found) // 2
    return max(range(-most, most + 1), key=lambda shift: (float(found @ np.roll(known, shift)), -abs(shift)))


def _swapped(order: tuple[int, ...]) -> str:
    changed = [AXES[axis] for axis in range(3) if order[axis] != axis]
    if len(changed) == 2:
        return f"axes {changed[0]} and {changed[1]} swapped"
    return f"axes in the order {', '.join(AXES[axis] for axis in order)}" if changed else ""


def _of_shape(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask on a grid of another shape with the same centre."""
    fitted = np.zeros(shape, bool)
    into, of = zip(*(_overlap(have, want) for have, want in zip(mask.shape, shape, strict=True)), strict=True)
    fitted[into] = mask[of]
    return fitted


def _overlap(have: int, want: int) -> tuple[slice, slice]:
    """Where `have` voxels lie among `want`, and which of them."""
    gap = (want - have) // 2
    return (slice(gap, gap + have), slice(None)) if gap >= 0 else (slice(None), slice(-gap, -gap + want))
