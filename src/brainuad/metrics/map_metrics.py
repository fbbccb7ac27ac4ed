"""Metrics of the anomaly maps, without any threshold."""

from __future__ import annotations

import numpy as np

from brainuad.metrics.evidence import MapEvidence
from brainuad.metrics.registry import Column, Estimate, metric


@metric(MapEvidence, label="lesion share", direction="neither")
def prevalence(maps: MapEvidence) -> Estimate:
    """Share of scored voxels that are lesion, over all scans.

    The pooled AUPRC of a random map is this times the share of the lesion that is scored.
    """
    lesion, normal = maps.counts.lesion.sum(axis=1), maps.counts.normal.sum(axis=1)
    return maps.patients.ratio(lesion, lesion + normal)


@metric(MapEvidence, label="lesion outside", direction="neither")
def lesion_share_outside(maps: MapEvidence) -> Estimate:
    """Share of the lesion volume of all scans outside the scored brain: removed with the skull, or in the rim.

    It counts as missed in AUPRC, recall and Dice.
    """
    outside = np.nan_to_num(maps.outside)
    return maps.patients.ratio(maps.lesion_ml * outside, maps.lesion_ml, int((maps.lesion_ml > 0).sum()))


@metric(MapEvidence, label="Dice ceiling", direction="neither")
def dice_ceiling(maps: MapEvidence) -> Estimate:
    """The best Dice that a mask in the scored brain can reach, mean over patients; 1 if no lesion lies outside."""
    return maps.patients.mean(2 * (1 - maps.outside) / (2 - maps.outside))


@metric(MapEvidence, label="AUPRC, pooled", direction="higher", shown=Column(quantity="AUPRC"), tracked=True)
def auprc_pooled(maps: MapEvidence) -> Estimate:
    """Area under the precision-recall curve (average precision) over the voxels of all scans.

    Lesion voxels outside the scored brain count as never found.
    """
    return Estimate(*maps.areas.auprc, len(maps.auprc))


@metric(MapEvidence, label="AUPRC per scan", direction="higher", shown=Column(quantity="AUPRC"), tracked=True)
def auprc_scan(maps: MapEvidence) -> Estimate:
    """Area under the precision-recall curve (average precision) over the voxels of each scan, mean over patients.

    Lesion voxels outside the scored brain count as never found.
    """
    return maps.patients.mean(maps.auprc)


@metric(MapEvidence, label="AUROC, pooled", direction="higher")
def auroc_pooled(maps: MapEvidence) -> Estimate:
    """Area under the ROC curve over the scored voxels of all scans."""
    return Estimate(*maps.areas.auroc, len(maps.auroc))


@metric(MapEvidence, name="auprc_scan_<lesion_type>", label="AUPRC per scan", direction="higher")
def auprc_scan_by_lesion_type(maps: MapEvidence) -> Estimate:
    """`auprc_scan` of the scans with one type of artificial anomaly or lesion; a scan of several types is in each."""
    return maps.patients.mean(maps.auprc)


@metric(MapEvidence, name="auprc_scan_<lesion_load>", label="AUPRC per scan", direction="higher")
def auprc_scan_by_lesion_load(maps: MapEvidence) -> Estimate:
    """`auprc_scan` by the volume of all lesions of a scan: small (under 1 ml), medium (1 to 10 ml), large (from 10 ml).

    Volumes are those in the scan's own space.
    """
    return maps.patients.mean(maps.auprc)
