"""Whether a scan is like the healthy scans that a model knows.

Three distances, each from the healthy scans of the study: of the histogram of scaled intensities, of the pattern of
light and dark tissue, and of the level of the map over the whole brain. The cut of each is a prediction limit for the
next healthy scan, with the t quantile of their number: the first two distances, and levels, are taken as log-normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.recipe import Resize
from brainuad.metrics.voxelwise import scored_brain
from brainuad.normalize.grid import resized

Image = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]
LEVELS = np.arange(1, 100, 2)
"""Percentiles of brain intensities that are compared."""
COARSE_MM = 8.0
"""Voxel size at which patterns are compared: anatomy and small lesions vary below it."""
HIGHEST_SHARE = 0.1
"""Of the map's voxels that do not count in its level: lesions are among them."""
COVERED = 0.5
"""Share of a coarse voxel that is brain, at least."""
RIM = 1
"""Voxels of the brain's rim that do not count in the level, where maps are high in any scan."""
RATE = 0.005
"""Of healthy scans that a cut is to flag."""
LEAST_SD, LEAST_SD_OF_LEVELS = 0.15, 0.03
"""Of log distances and of log levels: few scans may be alike by chance."""
SMALLEST = 0.01
"""Distances count as no smaller."""
LARGEST_LOG = 20.0
"""Of a cut: two or three scans say next to nothing."""
HISTOGRAM, PATTERN, LEVEL = "histogram", "pattern", "level"
QUANTILES, MEAN, COVER, MAP_LEVEL = "quantiles", "mean", "cover", "map_level"
"""Names of arrays."""


@dataclass(frozen=True)
class Outline:
    """What is compared of one scan.

    `quantiles`: of brain intensities at `LEVELS`; `coarse`, `cover`: scan and brain mask at `COARSE_MM`; `level`: that
    of its map, or NaN.
    """

    quantiles: Float[np.ndarray, "levels"]
    coarse: Image
    cover: Image
    level: float


@dataclass(frozen=True)
class Cut:
    """`typical`: the median distance of healthy scans; `cut`: above it a scan is unlike them; `scans`: behind it."""

    typical: float
    cut: float
    scans: int


def outline(image: Image, brain: Mask, spacing: tuple[float, float, float], anomaly: Image | None = None) -> Outline:
    """`image`: scaled intensities on the models' grid; `anomaly`: the map as infer makes it."""
    x, y, z = (max(1, round(n * edge / COARSE_MM)) for n, edge in zip(image.shape, spacing, strict=True))
    grid = Resize(shape=(x, y, z))
    coarse, cover = resized(np.where(brain, image, 0), grid), resized(brain.astype(np.float32), grid)
    level = float("nan") if anomaly is None else map_level(anomaly, brain)
    return Outline(np.percentile(image[brain], LEVELS), coarse, cover, level)


def map_level(anomaly: Image, brain: Mask) -> float:
    """Mean of the map's absolute values in the brain, without its rim and the highest tenth."""
    inner = scored_brain(brain, RIM)
    values = np.sort(np.abs(anomaly[inner if inner.any() else brain]))
    return float(values[: max(1, round(len(values) * (1 - HIGHEST_SHARE)))].mean())


def reference(training: Sequence[Outline], held_out: Sequence[Outline]) -> dict[str, np.ndarray]:
    """What scans are compared with: means over the training scans, and the median level of held-out maps."""
    levels = [each.level for each in held_out if np.isfinite(each.level)]
    return {
        QUANTILES: np.mean([each.quantiles for each in training], axis=0),
        MEAN: np.mean([each.coarse for each in training], axis=0),
        COVER: np.mean([each.cover for each in training], axis=0),
        MAP_LEVEL: np.array([np.median(levels) if levels else np.nan]),
    }


def distances(scan: Outline, known: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of a scan from healthy ones, by measure; 0 is alike."""
    quantiles = known[QUANTILES]
    span = max(float(quantiles[-1] - quantiles[0]), SMALLEST)
    found = {HISTOGRAM: float(np.abs(scan.quantiles - quantiles).mean()) / span}
    inside = (known[COVER] > COVERED) & (scan.cover > COVERED)
    a, b = scan.coarse[inside], known[MEAN][inside]
    found[PATTERN] = 1 - float(np.corrcoef(a, b)[0, 1]) if len(a) and a.std() > 0 and b.std() > 0 else 1.0
    usual = float(known[MAP_LEVEL][0])
    if np.isfinite([usual, scan.level]).all() and min(usual, scan.level) > 0:
        found[LEVEL] = abs(float(np.log(scan.level / usual)))
    return found


def cuts(training: Sequence[Outline], held_out: Sequence[Outline]) -> dict[str, Cut]:
    """The cut of each measure. Held-out scans are compared with the training scans, these with the others of them."""
    known = reference(training, held_out)
    found = [distances(each, known) for each in held_out]
    if len(training) > 1:
        found += [distances(each, _without(training, i, known)) for i, each in enumerate(training)]
    limits = (
        {name: _cut(np.array([each[name] for each in found])) for name in (HISTOGRAM, PATTERN)}
        if len(found) > 1
        else {}
    )
    levels = np.array([each.level for each in held_out if each.level > 0])
    return {**limits, LEVEL: _cut_of_levels(levels, float(known[MAP_LEVEL][0]))} if len(levels) > 1 else limits


def doubts(found: Mapping[str, float], limits: Mapping[str, Cut]) -> list[str]:
    """A sentence for each distance above its cut."""
    above = [name for name, distance in found.items() if name in limits and distance > limits[name].cut]
    return [f"{WORDS[name]} ({_compared(found[name], limits[name])})" for name in above]


def _without(training: Sequence[Outline], i: int, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The reference without one training scan, which has no held-out map."""
    n, scan = len(training), training[i]
    own = {QUANTILES: scan.quantiles, MEAN: scan.coarse, COVER: scan.cover}
    rest = {name: (known[name] * n - value) / (n - 1) for name, value in own.items()}
    return {**rest, MAP_LEVEL: np.array([np.nan])}


def _cut(values: Float[np.ndarray, "n"]) -> Cut:
    logs = np.log(np.maximum(values, SMALLEST))
    highest = logs.mean() + _reach(logs, LEAST_SD, RATE)
    return Cut(float(np.median(values)), float(np.exp(min(highest, LARGEST_LOG))), len(logs))


def _cut_of_levels(levels: Float[np.ndarray, "n"], usual: float) -> Cut:
    """Of the distance that `distances` takes of levels, in both directions."""
    logs = np.log(levels / usual)
    cut = abs(float(logs.mean())) + _reach(logs, LEAST_SD_OF_LEVELS, RATE / 2)
    return Cut(float(np.median(np.abs(logs))), float(min(cut, LARGEST_LOG)), len(logs))


def _reach(values: Float[np.ndarray, "n"], least_sd: float, rate: float) -> float:
    """How far from the mean the next of normally distributed values lies with this probability, on one side."""
    from scipy import stats

    n = len(values)
    sd = max(float(values.std(ddof=1)), least_sd)
    return float(stats.t.ppf(1 - rate, n - 1)) * sd * float(np.sqrt(1 + 1 / n))


def _compared(distance: float, limit: Cut) -> str:
    return f"distance {distance:.2g}; healthy scans of the study {limit.typical:.2g}, limit {limit.cut:.2g}"


WORDS = {
    HISTOGRAM: "its intensities are distributed unlike those of the healthy scans behind the model",
    PATTERN: "light and dark tissue lie unlike those of the healthy scans behind the model: another contrast, a "
    "misplaced head, or a very large lesion",
    LEVEL: "its map is higher or lower all over the brain than in healthy scans: another scanner, contrast or age",
}
