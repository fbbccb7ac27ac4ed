"""Thresholds from healthy voxels, from labelled voxels, or from a paper.

The voxels are those that evaluate scores, of validation scans or of calibration scans. No function here reads a test
scan.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainuad.config.burden import Burden, Components
from brainuad.config.postprocessing import Conformal, Fixed, HealthyQuantile, Postprocessing, Threshold, ValDice
from brainuad.errors import InputError
from brainuad.formats import array_cache as array_caches
from brainuad.formats.array_cache import ArrayCache
from brainuad.formats.scans import Scan
from brainuad.formats.thresholds import FoundThreshold
from brainuad.images import components
from brainuad.metrics import conformal, voxelwise
from brainuad.postprocess.apply import processed_maps
from brainuad.postprocess.burden import burden_cut
from brainuad.postprocess.false_alarms import HealthyMap, components_cut
from brainuad.postprocess.ordered_values import ROUNDING, OrderedValues, best_dice, lowest_cut


@dataclass(frozen=True)
class ValidationSet:
    """A data set whose scans in a role, validation or calibration, thresholds may see. `maps`: infer's folder."""

    maps: Path
    array_cache: Path
    healthy: bool
    role: str = "validation"


@dataclass(frozen=True)
class Thresholding:
    """How thresholds are found. `healthy`, `roles`: of each data set that thresholds are drawn from.

    `erode_voxels`: what evaluate removes of the brain's rim.
    """

    rules: Sequence[Threshold]
    healthy: Sequence[bool]
    roles: Sequence[str]
    erode_voxels: int = 1


@dataclass(frozen=True)
class VoxelValues:
    """Values of the map at scored voxels, in and outside lesions."""

    normal: OrderedValues
    lesion: OrderedValues
    scans: tuple[str, ...]
    """As `<data set>/<scan>`."""
    people: tuple[str, ...]
    """Whose scans they are."""
    voxel_ml: tuple[float, ...]
    """Of each scan, the volume of a voxel in its own space."""


@dataclass(frozen=True)
class Voxels:
    """Which values thresholds are drawn from.

    `erode_voxels`: what evaluate removes of the brain's rim; `folder`: for the values of all voxels, which would fill
    the memory; 4 bytes a voxel.
    """

    postprocessing: Postprocessing
    erode_voxels: int
    folder: Path


def find_thresholds(
    sets: Sequence[ValidationSet], rules: Sequence[Threshold], voxels: Voxels
) -> dict[str, FoundThreshold]:
    """The threshold of each rule, by its label. Lesions are opened for `val_dice` alone."""
    healthy, maps = None, None
    found: dict[str, FoundThreshold] = {}
    for rule in rules:
        match rule:
            case HealthyQuantile() | Conformal() | Burden() | Components():
                of_healthy = [each for each in sets if each.healthy]
                healthy = healthy or _healthy_values(of_healthy, voxels)
                if isinstance(rule, Components):
                    maps = maps or _healthy_maps(of_healthy, voxels)
                    cut = components_cut(maps, healthy.normal, rule.per_scan, rule.min_ml)
                    found[rule.label] = FoundThreshold(cut, "unsupervised", healthy.scans)
                else:
                    found[rule.label] = _healthy_threshold(rule, healthy)
            case ValDice():
                patients = [each for each in sets if not each.healthy]
                labelled = _voxel_values(patients, voxels, True)
                if len(labelled.lesion):
                    value = best_dice(labelled.lesion, labelled.normal)
                    found[rule.label] = FoundThreshold(value, "labelled validation", labelled.scans)
                else:
                    note = f"no threshold: no {_role(patients)} scan with lesions in the scored brain"
                    found[rule.label] = FoundThreshold(None, "labelled validation", note=note)
            case Fixed():
                found[rule.label] = FoundThreshold(rule.value, "paper constant")
    return found


def _role(sets: Sequence[ValidationSet]) -> str:
    return sets[0].role if sets else "validation"


def _healthy_values(sets: Sequence[ValidationSet], voxels: Voxels) -> VoxelValues:
    """Raises InputError where scans that are there have no voxel that is scored, or none is left for calibration."""
    found, role = _voxel_values(sets, voxels), _role(sets)
    if found.scans and not len(found.normal):
        why = f"evaluate.erode_voxels is {voxels.erode_voxels}"
        what = f"no voxel of {len(found.scans)} healthy {role} scans is scored"
        raise InputError(what, why=why, do="set it lower")
    if not found.scans and role == "calibration":
        do = "raise the calibration share of a healthy set, or mend its scans that failed"
        raise InputError("no healthy calibration scan is left to take a threshold from", do=do)
    return found


def _healthy_threshold(rule: HealthyQuantile | Conformal | Burden, healthy: VoxelValues) -> FoundThreshold:
    if isinstance(rule, HealthyQuantile):
        return FoundThreshold(healthy_quantile(healthy.normal, rule.quantile), "unsupervised", healthy.scans)
    if isinstance(rule, Burden):
        burden = burden_cut(healthy.normal, healthy.people, healthy.voxel_ml, rule.ml)
        return FoundThreshold(burden, "unsupervised", healthy.scans)
    people = len(set(healthy.people))
    value = conformal_cut(healthy.normal, healthy.people, rule.false_positive_share, rule.largest_share)
    if value is not None:
        return FoundThreshold(value, "unsupervised", healthy.scans)
    attainable = rule.largest_share / (people + 1)
    needed = conformal.fewest(rule.false_positive_share / rule.largest_share)
    note = f"no threshold: {people} healthy people allow a false-positive share of {attainable:.3g} at least, "
    note += f"{rule.false_positive_share:g} needs {needed}"
    return FoundThreshold(None, "unsupervised", healthy.scans, note)


def conformal_cut(healthy: OrderedValues, people: Sequence[str], level: float, largest: float) -> float | None:
    """The lowest value above which n / (n + 1) R + B / (n + 1) is at most `level`; None where n is too small for any.

    R is the mean over the n people of the share of a person's scan that lies above it, cut off at B = `largest`;
    `people`: whose each part of `healthy` is. Source: Angelopoulos et al., Conformal Risk Control, ICLR 2024.
    """
    scans = Counter(people)
    budget = level * (len(scans) + 1) - largest
    if budget < -ROUNDING or not len(healthy):
        return None
    return lowest_cut(healthy, [1 / scans[person] for person in people], largest, budget)


def healthy_quantile(healthy: OrderedValues, quantile: float) -> float:
    """The `quantile` of the pooled brain voxels of healthy scans. Raises InputError if there are none."""
    if not len(healthy):
        raise InputError(
            "no healthy validation scan to take a threshold from", do="give a healthy set a validation share"
        )
    return healthy.quantile(quantile)


def _healthy_maps(sets: Sequence[ValidationSet], voxels: Voxels) -> list[HealthyMap]:
    """Maps after the map operators, which wait in files: memory holds one at a time."""
    place = Path(tempfile.mkdtemp(dir=voxels.folder))
    found: list[HealthyMap] = []
    for opened, row, anomaly, scored, _ in _scored_maps(sets, voxels):
        path = place / f"{len(found)}.npy"
        np.save(path, np.where(scored, anomaly, -np.inf).astype(np.float32))
        ml = float(np.prod(opened.spacing)) / 1000 * opened.scans[row].own_volume
        found.append(HealthyMap(opened.scans[row].person, np.load(path, mmap_mode="r"), ml))
    return found


def _voxel_values(sets: Sequence[ValidationSet], voxels: Voxels, lesions: bool = False) -> VoxelValues:
    """Values of the maps after the map operators. `lesions`: whether to read the lesion masks."""
    place = Path(tempfile.mkdtemp(dir=voxels.folder))
    normal, lesion = OrderedValues(place / "normal"), OrderedValues(place / "lesion")
    scans: list[Scan] = []
    voxel_ml: list[float] = []
    for opened, row, anomaly, scored, truths in _scored_maps(sets, voxels, lesions):
        truth = np.zeros_like(scored) if truths is None else truths
        normal.add(anomaly[scored & ~truth])
        lesion.add(anomaly[scored & truth])
        scans.append(opened.scans[row])
        voxel_ml.append(float(np.prod(opened.spacing)) / 1000 * opened.scans[row].own_volume)
    named = tuple(f"{scan.dataset}/{scan.scan}" for scan in scans)
    return VoxelValues(normal, lesion, named, tuple(scan.person for scan in scans), tuple(voxel_ml))


def _scored_maps(
    sets: Sequence[ValidationSet], voxels: Voxels, lesions: bool = False
) -> Iterator[tuple[ArrayCache, int, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Array cache and row of each scan; map after the map operators, scored voxels and lesion in the brain's box."""
    for each in sets:
        opened = array_caches.read(each.array_cache)
        truths = array_caches.read_lesions(each.array_cache) if lesions else None
        ignored = array_caches.read_ignored(each.array_cache)
        for row, anomaly, brain in processed_maps(each.maps, opened, each.role, voxels.postprocessing.on_map()):
            box = components.box(brain, margin=1)
            scored = voxelwise.scored_brain(brain[box], voxels.erode_voxels)
            scored = scored if ignored is None else scored & ~ignored[row][box]
            yield opened, row, anomaly[box], scored, None if truths is None else truths[row][box]
