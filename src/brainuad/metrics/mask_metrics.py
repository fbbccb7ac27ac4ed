"""Metrics of predicted masks, for each threshold rule; some of them also at the oracle's threshold."""

from __future__ import annotations

import numpy as np

from brainuad.metrics import pooled
from brainuad.metrics.evidence import MaskEvidence, OracleEvidence, PerScan, matthews
from brainuad.metrics.registry import Column, Estimate, metric
from brainuad.metrics.statistics import Weights


@metric(MaskEvidence, label="threshold", direction="neither", unit="map units")
def threshold(masks: MaskEvidence) -> Estimate:
    """The threshold above which voxels are predicted, in units of the map after its map operators.

    As oracle, the threshold with the best pooled Dice on the test labels, before mask operators.
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
    """Dice over the voxels of all scans together; lesion voxels outside the scored brain count as missed.

    As oracle, at the threshold that makes it best before mask operators.
    """
    if not masks.patients.with_lesions:
        return None
    return masks.patients.ratio(2 * masks.true_positives, masks.predicted + masks.lesion)


@dice_pooled.overload(OracleEvidence)
def _oracle_dice_pooled(oracle: OracleEvidence) -> Estimate:
    return Estimate(*oracle.maps.areas.best_dice, len(oracle.maps.auprc))


@metric(MaskEvidence, label="Dice per scan", direction="higher", shown=Column(quantity="Dice"), tracked=True)
def dice_volume(masks: MaskEvidence) -> Estimate | None:
    """Dice of each scan, mean over patients; scans without lesion and prediction are excluded (see `dice_empty`).

    Lesion voxels outside the scored brain count as missed. As oracle, at the one threshold that makes this mean best
    before mask operators.
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


@metric(MaskEvidence, name="dice_volume_<lesion_load>", label="Dice per scan", direction="higher")
def dice_volume_by_lesion_load(masks: MaskEvidence) -> Estimate | None:
    """`dice_volume` by volume of all lesions of a scan: small (under 1 ml), medium (1 to 10 ml), large (from 10 ml).

    Volumes are those in the scan's own space.
    """
    return dice_volume(masks)


@metric(MaskEvidence, label="voxel recall, pooled", direction="higher")
def recall_pooled(masks: MaskEvidence) -> Estimate | None:
    """Share of the lesion voxels of all scans, outside the scored brain as well, that are predicted."""
    return masks.patients.ratio(masks.true_positives, masks.lesion) if masks.patients.with_lesions else None


@metric(MaskEvidence, label="voxel recall per scan", direction="higher")
def recall_volume(masks: MaskEvidence) -> Estimate | None:
    """Share of each scan's lesion voxels that are predicted, mean over patients; scans without lesion are excluded."""
    return masks.patients.mean(masks.each(lambda scan: scan.recall)) if masks.patients.with_lesions else None


@metric(MaskEvidence, label="voxel precision, pooled", direction="higher")
def precision_pooled(masks: MaskEvidence) -> Estimate | None:
    """Share of the predicted voxels of all scans that are lesion (positive predictive value)."""
    return masks.patients.ratio(masks.true_positives, masks.predicted) if masks.patients.with_lesions else None


@metric(MaskEvidence, label="voxel precision per scan", direction="higher")
def precision_volume(masks: MaskEvidence) -> Estimate | None:
    """Share of each scan's predicted voxels that are lesion, mean over patients.

    Scans without prediction are excluded.
    """
    return masks.patients.mean(masks.each(lambda scan: scan.precision)) if masks.patients.with_lesions else None


@metric(MaskEvidence, label="Jaccard, pooled", direction="higher")
def jaccard_pooled(masks: MaskEvidence) -> Estimate | None:
    """Intersection over union of predicted and lesion voxels of all scans together."""
    if not masks.patients.with_lesions:
        return None
    return masks.patients.ratio(masks.true_positives, masks.predicted + masks.lesion - masks.true_positives)


@metric(MaskEvidence, label="Jaccard per scan", direction="higher")
def jaccard_volume(masks: MaskEvidence) -> Estimate | None:
    """Intersection over union of each scan, mean over patients; scans are excluded as for `dice_volume`."""
    return masks.patients.mean(masks.each(lambda scan: scan.jaccard)) if masks.patients.with_lesions else None


@metric(MaskEvidence, label="MCC, pooled", direction="higher")
def mcc_pooled(masks: MaskEvidence) -> Estimate | None:
    """Matthews' correlation coefficient of predicted and lesion voxels of all scans together.

    Over scored voxels and lesion voxels outside; 0 where it is undefined, as without a predicted voxel.
    """
    if not masks.patients.with_lesions:
        return None
    counts = (masks.true_positives, masks.predicted, masks.lesion, masks.each(lambda scan: scan.normal))
    return masks.patients.over_samples(lambda weights: matthews(*(weights @ count for count in counts)), scale="any")


@metric(MaskEvidence, label="MCC per scan", direction="higher")
def mcc_volume(masks: MaskEvidence) -> Estimate | None:
    """Matthews' correlation coefficient of each scan, mean over patients; scans are excluded as for `dice_volume`."""
    return masks.patients.mean(masks.each(lambda scan: scan.mcc)) if masks.patients.with_lesions else None


@metric(
    MaskEvidence,
    label="lesion recall",
    direction="higher",
    shown=Column(every_rule=False, quantity="lesions"),
    tracked=True,
)
def lesion_recall(masks: MaskEvidence) -> Estimate | None:
    """Share of the lesions of a counted size that are detected: paired with a predicted component of their own."""
    if not masks.lesions.any():
        return None
    return masks.patients.ratio(masks.detected, masks.lesions, int((masks.lesions > 0).sum()))


@metric(MaskEvidence, name="lesion_recall_<lesion_size>", label="lesion recall", direction="higher")
def lesion_recall_by_size(masks: MaskEvidence) -> Estimate | None:
    """`lesion_recall` of lesions of one size: small (under 1 ml), medium (1 to 10 ml), large (10 ml or more).

    Sizes are those in the scan's own space.
    """
    return lesion_recall(masks)


@metric(MaskEvidence, label="lesion precision", direction="higher")
def lesion_precision(masks: MaskEvidence) -> Estimate | None:
    """Share of the counted components that detect a lesion: detections over detections and false positives."""
    if not masks.lesions.any():
        return None
    return masks.patients.ratio(masks.detected, masks.detected + masks.false_positives)


@metric(
    MaskEvidence,
    label="lesion F1",
    direction="higher",
    shown=Column(every_rule=False, quantity="lesions"),
    tracked=True,
)
def lesion_f1(masks: MaskEvidence) -> Estimate | None:
    """Harmonic mean of `lesion_recall` and `lesion_precision`, over the lesions of all scans."""
    if not masks.lesions.any():
        return None
    return masks.patients.ratio(2 * masks.detected, masks.detected + masks.false_positives + masks.lesions)


@metric(
    MaskEvidence,
    label="FP per scan",
    direction="lower",
    unit="components",
    shown=Column(digits=1, every_rule=False, quantity="false positives"),
    tracked=True,
)
def fp_per_scan(masks: MaskEvidence) -> Estimate:
    """False positives per scan: predicted components of a counted size that detect no lesion."""
    return masks.patients.ratio(masks.false_positives, np.ones(len(masks.scans)), scale="amount")


@metric(
    MaskEvidence,
    label="FP volume per scan",
    direction="lower",
    unit="ml",
    shown=Column(digits=1, every_rule=False, quantity="false positives"),
    tracked=True,
)
def fp_ml_per_scan(masks: MaskEvidence) -> Estimate:
    """Predicted volume per scan that is no lesion, in the scan's own space."""
    return masks.patients.ratio(masks.each(lambda scan: scan.false_ml), np.ones(len(masks.scans)), scale="amount")


@metric(MaskEvidence, label="FROC", direction="higher")
def froc(masks: MaskEvidence) -> Estimate | None:
    """Mean lesion recall at 1/4, 1/2, 1, 2, 4 and 8 false positives per scan.

    Components are left out in the order of the highest value of the map in them.
    """
    if not masks.lesions.any():
        return None
    return masks.patients.over_samples(masks.froc.score)


@metric(MaskEvidence, label="FROC by volume", direction="higher")
def froc_ml(masks: MaskEvidence) -> Estimate | None:
    """Mean lesion recall at 1/2, 1, 2, 4, 8 and 16 ml of false positives per scan, as `froc`."""
    if not masks.lesions.any():
        return None
    return masks.patients.over_samples(lambda weights: masks.froc.score(weights, ml=True))


@metric(MaskEvidence, label="voxel FPR", direction="lower")
def voxel_fpr(masks: MaskEvidence) -> Estimate:
    """Voxel-wise false-positive rate: share of lesion-free scored voxels that are predicted."""
    return masks.patients.ratio(masks.predicted - masks.true_positives, masks.each(lambda scan: scan.normal))


@metric(MaskEvidence, label="volume bias", direction="neither", unit="ml")
def volume_bias(masks: MaskEvidence) -> Estimate | None:
    """Predicted minus true lesion volume of a scan, mean over patients, in the scan's own space."""
    return masks.patients.mean(masks.bias_ml, "any") if masks.patients.with_lesions else None


@metric(MaskEvidence, label="lower limit of agreement", direction="neither", unit="ml")
def volume_agreement_low(masks: MaskEvidence) -> Estimate | None:
    """Bland and Altman's lower limit: mean less 1.96 standard deviations of predicted minus true volume over scans."""
    return _limit(masks, -1.96)


@metric(MaskEvidence, label="upper limit of agreement", direction="neither", unit="ml")
def volume_agreement_high(masks: MaskEvidence) -> Estimate | None:
    """Bland and Altman's upper limit: mean plus 1.96 standard deviations of predicted minus true volume over scans."""
    return _limit(masks, 1.96)


def _limit(masks: MaskEvidence, deviations: float) -> Estimate | None:
    bias = masks.bias_ml
    if not masks.patients.with_lesions or len(bias) < 2:
        return None

    def limit(weights: Weights) -> PerScan:
        scans = weights.sum(axis=1)
        mean = weights @ bias / scans
        variance = np.maximum(weights @ bias**2 / scans - mean**2, 0) * scans / (scans - 1)
        return np.asarray(mean + deviations * np.sqrt(variance))

    return masks.patients.over_samples(limit, scale="any")
