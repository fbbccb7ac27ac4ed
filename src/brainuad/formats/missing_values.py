"""Voxels of a scan that hold no number: NaN, infinity, or a value too large to compute with.

Around the head they stand for the background, as masked scans and logarithms have it. Inside it a few isolated ones are
filled from their neighbours; more are a fault of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.volume import Volume

LARGEST_VALUE = 1e12
"""float32 cannot hold the squares and sums of much larger values."""
OUTLIER = 1000
"""Times the 99.9th percentile of the absolute values: no tissue is so bright, but marks and faults of programs are."""
SAMPLE = 200_000
"""Voxels, at least, by which the percentile is found."""
SMALLEST_RANGE = 1e-12
ISOLATED = 26
"""Number of voxels of the largest group that is filled from its neighbours, in scans and masks."""
FEW = 0.001
"""Share of the head's voxels that may be filled."""
DARK = 0.3
"""Share of the range from the background to the 95th percentile, below which are air, bone and fluid."""
SCATTERED = 0.4
"""Ratio of missing voxels amid bright ones to bright ones, above which they are no background."""
EXPORT = "export it again, or mend these voxels"
HANDLED = (
    Handling(
        "values",
        "NaN or infinity around the head, or in parts of it as dark as air",
        "converted",
        "set to the background, with a note: 0, or the lowest value where a scan has values below 0",
    ),
    Handling(
        "values",
        f"NaN or infinity in the head, in groups of up to {ISOLATED} voxels, at most {FEW:.1%} of the head",
        "converted",
        "filled from neighbouring voxels, with a note",
    ),
    Handling("values", "more NaN or infinity in the head", "refused", "the reason names their share and place"),
    Handling("values", f"values beyond ±{LARGEST_VALUE:g}", "converted", "treated as infinity"),
    Handling(
        "values",
        f"values beyond ±{OUTLIER} times the 99.9th percentile",
        "converted",
        "treated as infinity, with a note of the limit",
    ),
    Handling("values", f"a range of values below {SMALLEST_RANGE:g}", "refused", "remedy: multiply the values"),
)
Array = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Groups:
    """Groups of missing voxels that share faces. `labels`: from 1; the others by group.

    `edge`: whether it touches a face of the volume; `bright`: whether the voxels around it are.
    """

    labels: Int[np.ndarray, "x y z"]
    sizes: Int[np.ndarray, " groups"]
    edge: Bool[np.ndarray, " groups"]
    bright: Bool[np.ndarray, " groups"]

    def members(self, chosen: Bool[np.ndarray, " groups"]) -> Mask:
        """The voxels of some groups."""
        return np.concatenate([[False], chosen])[self.labels]


def filled(path: Path, scan: Volume) -> tuple[Array, list[str]]:
    """The values of a scan, every one a number, and notes of what was filled. Raises InputError."""
    low, high = float(scan.data.min()), float(scan.data.max())
    limit = _largest(scan.data)
    if low >= -limit and high <= limit:
        if 0 < high - low < SMALLEST_RANGE:
            why = f"they run from {low:g} to {high:g}"
            raise InputError(f"{path.name} has values that differ too little", file=path, why=why, do="multiply them")
        return scan.data, []
    with np.errstate(invalid="ignore"):
        missing = ~(np.abs(scan.data) <= limit)
    numbers = scan.data[~missing]
    if not numbers.size or numbers.min() == numbers.max():
        why = f"{missing.mean():.1%} of its voxels are NaN, infinite or beyond {limit:g}, and the rest "
        why += f"is {numbers[0]:g}" if numbers.size else "is nothing"
        raise InputError(f"{path.name} holds values that are no numbers", file=path, why=why, do=EXPORT)
    _require_whole_slices(path, missing)
    data, notes = _Filling(path, scan, missing).result()
    if np.isfinite(scan.data[missing]).any():
        notes = [f"{note} (values beyond {limit:.3g} count as infinite)" for note in notes]
    return data, notes


def _largest(data: Array) -> float:
    """The largest absolute value that counts as measured."""
    sample = np.abs(data.ravel(order="K")[:: max(1, data.size // SAMPLE)])
    sample = sample[sample <= LARGEST_VALUE]
    typical = float(np.percentile(sample, 99.9)) if sample.size else 0.0
    return min(OUTLIER * typical, LARGEST_VALUE) if typical > 0 else LARGEST_VALUE


def _require_whole_slices(path: Path, missing: Mask) -> None:
    """Raises InputError for slices without a number between others."""
    for axis, name in enumerate(("left to right", "back to front", "bottom to top")):
        there = np.flatnonzero(~missing.all(axis=tuple({0, 1, 2} - {axis})))
        gaps = np.setdiff1d(np.arange(there[0], there[-1]), there)
        if gaps.size:
            why = f"{gaps.size} slices, the first number {gaps[0]} from {name}, are NaN or infinite"
            raise InputError(f"{path.name} lacks slices", file=path, why=why, do=EXPORT)


class _Filling:
    def __init__(self, path: Path, scan: Volume, missing: Mask):
        self.path, self.scan, self.missing = path, scan, missing
        self.background = _background(scan.data, missing)
        top = float(np.percentile(scan.data[~missing], 95))
        self.dark = self.background + DARK * (top - self.background)
        self.numbers = np.where(missing, np.float32(0), scan.data)
        self.around = ndimage.uniform_filter((~missing).astype(np.float32), 3)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.mean = ndimage.uniform_filter(self.numbers, 3) / np.where(self.around > 1e-3, self.around, np.nan)

    def result(self) -> tuple[Array, list[str]]:
        groups = self._groups()
        small = groups.sizes <= ISOLATED
        behind = ~small & (groups.edge | ~groups.bright)
        if behind.any():  # small gaps in the air and in bone are background, too
            behind |= ~groups.bright
        outside = groups.members(behind)
        self._require_no_scatter(outside)
        bright = ~self.missing & (self.scan.data > self.dark)
        inside = groups.members(groups.bright & (small | ~groups.edge))
        large = groups.bright & ~small & ~groups.edge
        if large.any() or inside.sum() > FEW * bright.sum():
            raise self._too_many(inside, int(bright.sum()), groups.members(large) if large.any() else inside)
        data = np.where(outside, np.float32(self.background), self.scan.data)
        isolated = groups.members(small & ~behind)
        _fill(data, isolated)
        notes = []
        if outside.any():
            notes.append(
                f"NaN or infinity around the head ({outside.mean():.1%} of the voxels) was taken as background, "
                f"{self.background:g}"
            )
        if isolated.any():
            notes.append(f"NaN or infinity in {isolated.sum():,} isolated voxels was filled from their neighbours")
        return data, notes

    def _groups(self) -> Groups:
        labels, count = ndimage.label(self.missing)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        edge = np.zeros(count + 1, bool)
        for axis in range(3):
            for end in (0, -1):
                edge[np.take(labels, end, axis)] = True
        shell = self.missing & np.isfinite(self.mean)
        where = labels[shell]
        known = np.bincount(where, minlength=count + 1)[1:]
        total = np.bincount(where, weights=self.mean[shell], minlength=count + 1)[1:]
        bright = total > known * self.dark
        return Groups(labels, sizes, edge[1:], bright)

    def _require_no_scatter(self, outside: Mask) -> None:
        """Raises InputError where what reaches the edge of the volume is scattered through the head."""
        bright = ~self.missing & (self.scan.data > self.dark)
        amid = outside & (self.around > 0.15) & (self.mean > self.dark)
        if amid.sum() > SCATTERED * bright.sum():
            raise self._too_many(amid, int(bright.sum()), amid)

    def _too_many(self, inside: Mask, head: int, named: Mask) -> InputError:
        """`head`: bright voxels that hold a number; `named`: those whose place the message names."""
        index, count = np.argwhere(named), int(inside.sum())
        low, high, middle = index.min(axis=0), index.max(axis=0), np.median(index, axis=0)
        place = ", ".join(f"{mm:.0f}" for mm in (self.scan.affine @ [*middle, 1])[:3])
        size = " x ".join(f"{mm:.0f}" for mm in (high - low + 1) * self.scan.spacing)
        share = count / (count + head)
        why = (
            f"{count:,} voxels inside the head ({share:.2%} of it) are NaN or infinite, "
            f"around {place} mm, in a box of {size} mm"
        )
        return InputError(f"{self.path.name} holds values that are no numbers", file=self.path, why=why, do=EXPORT)


def _fill(data: Array, gaps: Mask) -> None:
    """Fill gaps from their edges inwards with the mean of the neighbours (26) that are known."""
    known = ~gaps
    while not known.all():
        weight = ndimage.uniform_filter(known.astype(np.float32), 3)
        total = ndimage.uniform_filter(np.where(known, data, np.float32(0)), 3)
        reached = ~known & (weight > 1e-3)
        data[reached] = total[reached] / weight[reached]
        known |= reached


def _background(data: Array, missing: Mask) -> float:
    """The value of the background: 0, or the lowest in a scan that goes below 0 and has no background of 0."""
    lowest = float(data[~missing].min())
    if lowest >= 0:
        return 0.0
    faces = np.concatenate([np.take(data, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    faces = faces[np.abs(faces) <= _largest(data)]
    return 0.0 if faces.size and (faces == 0).mean() > 0.5 else lowest
