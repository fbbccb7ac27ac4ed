"""Thresholds from healthy validation voxels, from labelled validation voxels, or from a paper.

No function here reads a test scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from brainuad.config.postprocessing import Fixed, HealthyQuantile, Postprocessing, Threshold, ValDice
from brainuad.errors import InputError
from brainuad.formats import array_cache as array_caches
from brainuad.formats.thresholds import FoundThreshold
from brainuad.postprocess.apply import processed_maps

Values = Float[np.ndarray, "n"]


@dataclass(frozen=True)
class ValidationSet:
    """A data set whose validation scans thresholds may see: infer's folder, its array cache, its subjects' health."""

    maps: Path
    array_cache: Path
    healthy: bool


@dataclass(frozen=True)
class VoxelValues:
    """Values of the map at brain voxels of validation scans, in and outside lesions."""

    normal: Values
    lesion: Values
    scans: tuple[str, ...]
    """As `<data set>/<scan>`."""


def find_thresholds(
    sets: Sequence[ValidationSet], postprocessing: Postprocessing, rules: Sequence[Threshold]
) -> dict[str, FoundThreshold]:
    """The threshold of each rule, by its label. Only validation scans are opened, and lesions only for `val_dice`."""
    healthy = None
    found: dict[str, FoundThreshold] = {}
    for rule in rules:
        match rule:
            case HealthyQuantile():
                healthy = healthy or _voxel_values([each for each in sets if each.healthy], postprocessing, False)
                value = healthy_quantile(healthy.normal, rule.quantile)
                found[rule.label] = FoundThreshold(value, "unsupervised", healthy.scans)
            case ValDice():
                labelled = _voxel_values([each for each in sets if not each.healthy], postprocessing, True)
                if labelled.lesion.size:
                    value = best_dice(labelled.lesion, labelled.normal)
                    found[rule.label] = FoundThreshold(value, "labelled validation", labelled.scans)
                else:
                    note = "no threshold: the study has no validation scan with lesions"
                    found[rule.label] = FoundThreshold(None, "labelled validation", note=note)
            case Fixed():
                found[rule.label] = FoundThreshold(rule.value, "paper constant")
    return found


def healthy_quantile(healthy: Values, quantile: float) -> float:
    """The `quantile` of the pooled brain voxels of healthy scans. Raises InputError if there are none."""
    if not healthy.size:
        raise InputError(
            "no healthy validation scan to take a threshold from", do="give a healthy set a validation share"
        )
    return float(np.quantile(healthy, quantile))


def best_dice(lesion: Values, normal: Float[np.ndarray, "m"]) -> float:
    """The threshold above which predicted voxels have the best pooled Dice; of equals the highest.

    `lesion`, `normal`: values of the map in and outside lesions. Raises InputError without lesion voxels.
    """
    if not lesion.size:
        raise InputError("the labelled validation scans hold no lesion", do="check their masks or drop val_dice")
    lowest, counts = np.unique(lesion, return_counts=True)  # Dice can only peak at a lesion's value
    true_positives = np.cumsum(counts[::-1])[::-1]
    false_positives = normal.size - np.searchsorted(np.sort(normal), lowest)
    dice = 2 * true_positives / (true_positives + false_positives + lesion.size)
    best = len(dice) - 1 - int(np.argmax(dice[::-1]))
    return float(np.nextafter(lowest[best], np.float32(-np.inf)))


def _voxel_values(sets: Sequence[ValidationSet], postprocessing: Postprocessing, lesions: bool) -> VoxelValues:
    """Values of the maps after the map operators. `lesions`: whether to read the lesion masks."""
    normal, lesion, names = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)], []
    for each in sets:
        opened = array_caches.read(each.array_cache)
        truths = array_caches.read_lesions(each.array_cache) if lesions else None
        ignored = array_caches.read_ignored(each.array_cache)
        for row, anomaly, brain in processed_maps(each.maps, opened, "validation", postprocessing.on_map()):
            truth = np.zeros_like(brain) if truths is None else np.asarray(truths[row])
            scored = brain if ignored is None else brain & ~np.asarray(ignored[row])
            normal.append(anomaly[scored & ~truth])
            lesion.append(anomaly[scored & truth])
            names.append(f"{opened.scans[row].dataset}/{opened.scans[row].scan}")
    return VoxelValues(np.concatenate(normal), np.concatenate(lesion), tuple(names))
