"""What recipe, resizing and postprocessing leave of a perfect map, and what they mark where nothing is abnormal.

A perfect map is the lesion mask itself, resized to the network and back where the model's residual is taken at the
network's resolution. The map of a network that returns its input holds what resizing loses. Neither needs a model.
Lesion voxels outside the scored brain count as missed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.network import GRID, NetworkInput
from brainuad.config.postprocessing import Postprocessing
from brainuad.formats import array_cache as array_caches
from brainuad.formats import ceilings, checksums, run
from brainuad.formats.array_cache import ArrayCache
from brainuad.formats.ceilings import AUPRC, CEILING, DICE, FLOOR, RESIDUAL
from brainuad.formats.files import atomic_folder
from brainuad.images.smooth import smooth_inside
from brainuad.metrics.voxelwise import scan_areas, scored_brain
from brainuad.postprocess.apply import predicted_mask, process_map
from brainuad.postprocess.kernels import Spacing
from brainuad.resources import recording

if TYPE_CHECKING:
    from brainuad.methods.base import Sign
    from brainuad.methods.shared.reconstruction import View
    from brainuad.postprocess.ceilings_job import CeilingsJob

FLOOR_SCANS = 10
"""Scans of a data set behind its floor, evenly spread; every test scan with a lesion is behind its ceiling."""
QUANTILE = 0.98
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Thresholds that are tried on a perfect map that resizing or smoothing has blurred."""
Map = Float[np.ndarray, "x y z"]
Mask = Bool[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Truth:
    """A test scan with its lesion and the brain that is scored."""

    person: str
    image: Map
    brain: Mask
    scored: Mask
    lesion: Mask
    """In and outside the scored brain."""

    def auprc(self, anomaly: Map) -> float:
        """Average precision; lesion voxels outside the scored brain are never found. NaN without a lesion."""
        inside, total = self.scored & self.lesion, int(self.lesion.sum())
        if not total:
            return np.nan
        area, _ = scan_areas(anomaly[inside], np.sort(anomaly[self.scored & ~self.lesion]))
        return 0.0 if np.isnan(area) else area * int(inside.sum()) / total

    def dice(self, mask: Mask) -> float:
        """Of a mask in the scored brain with the lesion in and outside of it."""
        predicted = mask & self.scored
        return float(2 * (predicted & self.lesion).sum() / (predicted.sum() + self.lesion.sum()))


@dataclass
class Scores:
    """Numbers of one map through one postprocessing, by metric and person."""

    by_metric: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, metric: str, truth: Truth, value: float) -> None:
        """Keep a number of a scan; NaN is none."""
        if not np.isnan(value):
            self.by_metric[metric][truth.person].append(value)

    def mean(self, metric: str) -> tuple[float, int]:
        """Mean over persons of the mean over their scans, and the number of scans."""
        values = list(self.by_metric[metric].values())
        return (float(np.mean([np.mean(each) for each in values])) if values else np.nan), sum(map(len, values))

    def rows(self) -> Iterator[dict[str, object]]:
        """metric, value, n: AUPRC, Dice at the level that is best for all, and what else there is."""
        for metric in (AUPRC, RESIDUAL):
            value, n = self.mean(metric)
            if n:
                yield {"metric": metric, "value": value, "n": n}
        dice = [self.mean(metric) for metric in self.by_metric if metric.startswith(DICE)]
        if dice:
            value, n = max(dice)
            yield {"metric": DICE, "value": value, "n": n}


def write_ceilings(job: CeilingsJob) -> None:
    """Write `ceilings.tsv` and `run.json` of a data set."""
    settings = {"lesion_sign": job.lesion_sign, "erode_voxels": job.erode_voxels}
    record = run.Record("ceilings", dict(job.tags), settings)
    with atomic_folder(job.outputs.folder) as folder, recording.recorded(folder, record):
        opened = array_caches.read(job.inputs.array_cache)
        rows = list(_rows(job, opened))
        ceilings.write(folder, rows)
        made_of = {"dataset": job.tags.get("dataset", ""), "array_cache": opened.seal}
        checksums.write(folder, checksums.of_files(folder, [ceilings.NAME]), made_of)
        record.facts["rows"] = len(rows)


def _rows(job: CeilingsJob, opened: ArrayCache) -> Iterator[dict[str, object]]:
    perfect = {name: network for network in job.networks if (name := network.of_perfect_map) != GRID}
    found: dict[tuple[str, str, str], Scores] = defaultdict(Scores)
    for truth, with_floor in _truths(job, opened):
        for name, network in {GRID: None, **perfect}.items() if truth.lesion.any() else ():
            anomaly = perfect_map(truth.lesion, truth.brain, network)
            for label, processed, postprocessing in _processed(job, truth, anomaly, opened.spacing):
                _add_ceiling(found[CEILING, label, name], truth, processed, postprocessing, opened.spacing)
        for network in job.networks if with_floor else ():
            anomaly = identity_map(truth.image, truth.brain, network, opened.spacing, job.lesion_sign)
            for label, processed, _ in _processed(job, truth, anomaly, opened.spacing):
                _add_floor(found[FLOOR, label, network.name], truth, processed)
    for (kind, label, name), scores in found.items():
        place = {"dataset": job.tags.get("dataset", ""), "postprocessing": label, "input": name, "kind": kind}
        yield from ({**place, **row} for row in scores.rows())


def _truths(job: CeilingsJob, opened: ArrayCache) -> Iterator[tuple[Truth, bool]]:
    """The test scans, and whether the floor is measured on them."""
    path = job.inputs.array_cache
    lesions, ignored = array_caches.read_lesions(path), array_caches.read_ignored(path)
    rows = [row for row, scan in enumerate(opened.scans) if scan.role == "test" and not scan.corrupted]
    floors = set(rows[:: -(-len(rows) // FLOOR_SCANS)]) if rows else set()
    for row in rows:
        brain, lesion = opened.brain(row), np.asarray(lesions[row])
        scored = scored_brain(brain, job.erode_voxels)
        if ignored is not None:
            scored, lesion = scored & ~ignored[row], lesion & ~ignored[row]
        yield Truth(opened.scans[row].person, opened.image(row), brain, scored, lesion), row in floors


def perfect_map(lesion: Mask, brain: Mask, network: NetworkInput | None) -> Map:
    """The lesion mask as an anomaly map, in [0, 1]; resized to the network and back where there is one."""
    anomaly = lesion.astype(np.float32)
    if network is not None:
        view, back = _view(network), np.zeros_like(anomaly)
        for position, batch in view.inputs(anomaly, brain):
            view.insert_difference(batch, position, back)
        anomaly = back
    return np.where(brain, anomaly, np.float32(0))


def identity_map(image: Map, brain: Mask, network: NetworkInput, spacing: Spacing, sign: Sign) -> Map:
    """The map of a network that returns its input, not standardised: what resizing loses, in units of intensity."""
    from brainuad.methods.shared.residual import signed

    back = np.array(image, dtype=np.float32)
    if not network.at_network:  # there input and output are equal
        view = _view(network)
        for position, batch in view.inputs(image, brain):
            view.insert(batch, position, back)
    residual = np.where(brain, image - back, 0).astype(np.float32)
    smooth = smooth_inside(np.abs(residual) if network.absolute else residual, brain, network.smooth_mm, spacing)
    return smooth if network.absolute else signed(smooth, sign)


def _view(network: NetworkInput) -> View:
    from brainuad.methods.shared.slices import SliceView
    from brainuad.methods.shared.volumes import VolumeView

    return SliceView(network.size, 0.0, network.fit) if network.dims == 2 else VolumeView(network.size, network.fit)


def _processed(
    job: CeilingsJob, truth: Truth, anomaly: Map, spacing: Spacing
) -> Iterator[tuple[str, Map, Postprocessing]]:
    """The map after the map operators of each postprocessing, by its label; equal operators run once."""
    known: dict[str, Map] = {}
    for label, postprocessing in sorted(job.postprocessing.items()):  # Snakemake hands settings on sorted
        steps = postprocessing.on_map()
        if (key := repr(steps)) not in known:
            known[key] = process_map(anomaly, truth.image, truth.brain, spacing, steps)
        yield label, known[key], postprocessing


def _add_ceiling(scores: Scores, truth: Truth, anomaly: Map, postprocessing: Postprocessing, spacing: Spacing) -> None:
    scores.add(AUPRC, truth, truth.auprc(anomaly))
    sharp = bool(np.isin(anomaly, (0, 1)).all())  # then every level gives the same mask
    for level in LEVELS:
        if level == LEVELS[0] or not sharp:
            dice = truth.dice(predicted_mask(anomaly, truth.brain, spacing, level, postprocessing.on_mask()))
        scores.add(f"{DICE}_{level}", truth, dice)


def _add_floor(scores: Scores, truth: Truth, anomaly: Map) -> None:
    scores.add(AUPRC, truth, truth.auprc(anomaly))
    healthy = anomaly[truth.scored & ~truth.lesion]
    scores.add(RESIDUAL, truth, float(np.quantile(healthy, QUANTILE)) if len(healthy) else np.nan)
