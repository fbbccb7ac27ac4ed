"""Thresholds from healthy validation voxels, from labelled validation voxels, or from a paper.

No function here reads a test scan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainuad.config.postprocessing import Fixed, HealthyQuantile, Postprocessing, Threshold, ValDice
from brainuad.errors import InputError
from brainuad.formats import array_cache as array_caches
from brainuad.formats.thresholds import FoundThreshold
from brainuad.postprocess.apply import processed_maps
from brainuad.postprocess.ordered_values import OrderedValues, best_dice


@dataclass(frozen=True)
class ValidationSet:
    """A data set whose validation scans thresholds may see: infer's folder, its array cache, its subjects' health."""

    maps: Path
    array_cache: Path
    healthy: bool


@dataclass(frozen=True)
class VoxelValues:
    """Values of the map at brain voxels of validation scans, in and outside lesions."""

    normal: OrderedValues
    lesion: OrderedValues
    scans: tuple[str, ...]
    """As `<data set>/<scan>`."""


def find_thresholds(
    sets: Sequence[ValidationSet], postprocessing: Postprocessing, rules: Sequence[Threshold], folder: Path
) -> dict[str, FoundThreshold]:
    """The threshold of each rule, by its label. Only validation scans are opened, and lesions only for `val_dice`.

    `folder`: for the values of all voxels, which would fill the memory; 4 bytes a voxel.
    """
    healthy = None
    found: dict[str, FoundThreshold] = {}
    for rule in rules:
        match rule:
            case HealthyQuantile():
                healthy = healthy or _voxel_values([each for each in sets if each.healthy], postprocessing, folder)
                value = healthy_quantile(healthy.normal, rule.quantile)
                found[rule.label] = FoundThreshold(value, "unsupervised", healthy.scans)
            case ValDice():
                labelled = _voxel_values([each for each in sets if not each.healthy], postprocessing, folder, True)
                if len(labelled.lesion):
                    value = best_dice(labelled.lesion, labelled.normal)
                    found[rule.label] = FoundThreshold(value, "labelled validation", labelled.scans)
                else:
                    note = "no threshold: the study has no validation scan with lesions"
                    found[rule.label] = FoundThreshold(None, "labelled validation", note=note)
            case Fixed():
                found[rule.label] = FoundThreshold(rule.value, "paper constant")
    return found


def healthy_quantile(healthy: OrderedValues, quantile: float) -> float:
    """The `quantile` of the pooled brain voxels of healthy scans. Raises InputError if there are none."""
    if not len(healthy):
        raise InputError(
            "no healthy validation scan to take a threshold from", do="give a healthy set a validation share"
        )
    return healthy.quantile(quantile)


def _voxel_values(
    sets: Sequence[ValidationSet], postprocessing: Postprocessing, folder: Path, lesions: bool = False
) -> VoxelValues:
    """Values of the maps after the map operators, kept in `folder`. `lesions`: whether to read the lesion masks."""
    place = Path(tempfile.mkdtemp(dir=folder))
    normal, lesion, names = OrderedValues(place / "normal"), OrderedValues(place / "lesion"), []
    for each in sets:
        opened = array_caches.read(each.array_cache)
        truths = array_caches.read_lesions(each.array_cache) if lesions else None
        ignored = array_caches.read_ignored(each.array_cache)
        for row, anomaly, brain in processed_maps(each.maps, opened, "validation", postprocessing.on_map()):
            truth = np.zeros_like(brain) if truths is None else truths[row]
            scored = brain if ignored is None else brain & ~ignored[row]
            normal.add(anomaly[scored & ~truth])
            lesion.add(anomaly[scored & truth])
            names.append(f"{opened.scans[row].dataset}/{opened.scans[row].scan}")
    return VoxelValues(normal, lesion, tuple(names))
