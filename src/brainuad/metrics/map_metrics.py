"""Metrics of the anomaly maps, without any threshold."""

from __future__ import annotations

from brainuad.metrics.evidence import MapEvidence
from brainuad.metrics.registry import Column, Estimate, metric


@metric(MapEvidence, label="lesion share", direction="neither")
def prevalence(maps: MapEvidence) -> Estimate:
    """Share of scored voxels that are lesion, over all scans: the AUPRC of a random map."""
    lesion, normal = maps.counts.lesion.sum(axis=1), maps.counts.normal.sum(axis=1)
    return maps.patients.ratio(lesion, lesion + normal)


@metric(MapEvidence, label="AUPRC, pooled", direction="higher", shown=Column(quantity="AUPRC"), tracked=True)
def auprc_pooled(maps: MapEvidence) -> Estimate:
    """Area under the precision-recall curve (average precision) over the voxels of all scans."""
    return Estimate(*maps.areas.auprc, len(maps.auprc))


@metric(MapEvidence, label="AUPRC per scan", direction="higher", shown=Column(quantity="AUPRC"), tracked=True)
def auprc_scan(maps: MapEvidence) -> Estimate:
    """Area under the precision-recall curve (average precision) over the voxels of each scan, mean over patients."""
    return maps.patients.mean(maps.auprc)


@metric(MapEvidence, label="AUROC, pooled", direction="higher")
def auroc_pooled(maps: MapEvidence) -> Estimate:
    """Area under the ROC curve over the voxels of all scans."""
    return Estimate(*maps.areas.auroc, len(maps.auroc))


@metric(MapEvidence, name="auprc_scan_<lesion_type>", label="AUPRC per scan", direction="higher")
def auprc_scan_by_lesion_type(maps: MapEvidence) -> Estimate:
    """`auprc_scan` of the scans with one type of artificial anomaly or lesion; a scan of several types is in each."""
    return maps.patients.mean(maps.auprc)
