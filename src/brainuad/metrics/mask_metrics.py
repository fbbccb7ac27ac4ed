"""Metrics of predicted masks, for each threshold rule; some of them also at the oracle's threshold."""

from __future__ import annotations

import numpy as np

from brainuad.metrics import pooled
from brainuad.metrics.evidence import MaskEvidence, OracleEvidence
from brainuad.metrics.registry import Column, Estimate, metric


@metric(MaskEvidence, label="threshold", direction="neither", unit="map units")
def threshold(masks: MaskEvidence) -> Estimate:
    """The threshold above which voxels are predicted, in units of the map after its map operators.

    As oracle, the threshold with the best pooled Dice.
    """
    return Estimate(masks.threshold, n=len(masks.scans))


@threshold.overload(OracleEvidence)
def _oracle_threshold(oracle: OracleEvidence) -> Estimate:
    return Estimate(pooled.oracle_threshold(oracle.maps.counts), n=len(oracle.maps.auprc))


@metric(
    MaskEvidence,
    label="Dice, pooled",
    direction="higher",
    shown=Column(instead_of="dice_volume", quantity="Dice"),
)
def dice_pooled(masks: MaskEvidence) -> Estimate | None:
    """Dice over the voxels of all scans together; as oracle, at the threshold that makes it best."""
    if not masks.patients.with_lesions:
        return None
    return masks.patients.ratio(2 * masks.true_positives, masks.predicted + masks.lesion)


@dice_pooled.overload(OracleEvidence)
def _oracle_dice_pooled(oracle: OracleEvidence) -> Estimate:
    return Estimate(*oracle.maps.areas.best_dice, len(oracle.maps.auprc))


@metric(MaskEvidence, label="Dice per scan", direction="higher", shown=Column(quantity="Dice"), tracked=True)
def dice_volume(masks: MaskEvidence) -> Estimate | None:
    """Dice of each scan, mean over patients; scans without lesion and prediction are excluded (see `dice_empty`).

    As oracle, at the one threshold that makes this mean best.
    """
    if not masks.patients.with_lesions:
        return None
    return masks.patients.mean(masks.each(lambda scan: scan.dice))


@dice_volume.overload(OracleEvidence)
def _oracle_dice_volume(oracle: OracleEvidence) -> Estimate:
    subjects = oracle.patients.subjects
    shares = 1 / np.array([subjects.count(subject) for subject in subjects])
    return oracle.patients.mean(pooled.oracle_dice(oracle.maps.counts, shares))


@metric(MaskEvidence, label="Dice per slice", direction="higher")
def dice_slice(masks: MaskEvidence) -> Estimate | None:
    """Dice of each axial slice that holds lesion, mean over slices."""
    if not masks.patients.with_lesions:
        return None
    slices = masks.each(lambda scan: scan.slices)
    return masks.patients.ratio(masks.each(lambda scan: scan.slice_dice), slices, int((slices > 0).sum()))


@metric(MaskEvidence, label="scans without Dice", direction="neither", unit="scans")
def dice_empty(masks: MaskEvidence) -> Estimate | None:
    """Number of scans with neither lesion nor prediction, which have no Dice."""
    if not masks.patients.with_lesions:
        return None
    dice = masks.each(lambda scan: scan.dice)
    return Estimate(float(np.isnan(dice).sum()), n=len(dice))


@metric(MaskEvidence, label="lesion recall", direction="higher", shown=Column(every_rule=False), tracked=True)
def lesion_recall(masks: MaskEvidence) -> Estimate | None:
    """Share of the lesions of a counted size that are detected."""
    lesions = masks.each(lambda scan: len(scan.overlaps))
    if not lesions.any():
        return None
    detected = masks.each(lambda scan: (scan.overlaps >= masks.detection_overlap).sum())
    return masks.patients.ratio(detected, lesions, int((lesions > 0).sum()))


@metric(MaskEvidence, name="lesion_recall_<lesion_size>", label="lesion recall", direction="higher")
def lesion_recall_by_size(masks: MaskEvidence) -> Estimate | None:
    """`lesion_recall` of lesions of one size: small (under 1 ml), medium (1 to 10 ml), large (10 ml or more).

    Sizes are those in the scan's own space.
    """
    return lesion_recall(masks)


@metric(
    MaskEvidence,
    label="FP per scan",
    direction="lower",
    unit="components",
    shown=Column(digits=1, every_rule=False),
    tracked=True,
)
def fp_per_scan(masks: MaskEvidence) -> Estimate:
    """False positives per scan: predicted components of a counted size that overlap no lesion."""
    return masks.patients.ratio(masks.each(lambda scan: scan.false_positives), np.ones(len(masks.scans)))


@metric(MaskEvidence, label="voxel FPR", direction="lower")
def voxel_fpr(masks: MaskEvidence) -> Estimate:
    """Voxel-wise false-positive rate: share of lesion-free scored voxels that are predicted."""
    return masks.patients.ratio(masks.predicted - masks.true_positives, masks.each(lambda scan: scan.normal))
