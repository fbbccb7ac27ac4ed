"""Metrics at the scan level: anomaly scores of whole scans, abnormal ones against the study's healthy test scans.

No postprocessing changes these scores.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from brainuad.metrics import proportions, scanwise
from brainuad.metrics.evidence import ScanKinds, ScanOracle, ScanScores, ScanThreshold
from brainuad.metrics.registry import Estimate, metric


@metric(ScanKinds, label="patients without marked lesion", direction="neither", unit="scans")
def unmarked_scans(scans: ScanKinds) -> Estimate | None:
    """Number of patients' scans whose lesion mask marks nothing; absent if there is none.

    They are neither abnormal nor healthy in the numbers of whole scans. Their voxels count as free of lesion.
    """
    return _number_of(scans.unmarked)


@metric(ScanKinds, label="sessions without a sequence", direction="neither", unit="scans")
def scans_without_sequence(scans: ScanKinds) -> Estimate | None:
    """Number of scans whose session lacks a sequence of the study; absent if there is none.

    Their maps rest on the other sequences; `scans.tsv` names what each lacks.
    """
    return _number_of(scans.lacking)


def _number_of(chosen: Bool[np.ndarray, "scans"]) -> Estimate | None:
    return Estimate(float(chosen.sum()), n=len(chosen)) if chosen.any() else None


@metric(ScanScores, label="abnormal scans", direction="neither")
def prevalence_scan(scans: ScanScores) -> Estimate:
    """Share of scans that are not healthy, of those that are known to be or not: the `ap_scan` of a random score."""
    return Estimate(float(scans.abnormal.mean()), n=len(scans.scores))


@metric(ScanScores, label="scan AUROC", direction="higher", shown=True, tracked=True)
def auroc_scan(scans: ScanScores) -> Estimate:
    """Scan level: area under the ROC curve of the anomaly score, abnormal scans against healthy test scans."""
    return scans.area(scanwise.auroc)


@metric(ScanScores, label="scan AP", direction="higher")
def ap_scan(scans: ScanScores) -> Estimate:
    """Scan level: average precision (area under the precision-recall curve) of the anomaly score."""
    return scans.area(scanwise.average_precision)


@metric(ScanScores, name="auroc_scan_<lesion_type>", label="scan AUROC", direction="higher")
def auroc_scan_by_lesion_type(scans: ScanScores) -> Estimate:
    """`auroc_scan` of the scans with one type of anomaly, lesion or corruption, against all healthy ones."""
    return auroc_scan(scans)


@metric(ScanScores, name="ap_scan_<lesion_type>", label="scan AP", direction="higher")
def ap_scan_by_lesion_type(scans: ScanScores) -> Estimate:
    """`ap_scan` of the scans with one type of anomaly, lesion or corruption, against all healthy ones."""
    return ap_scan(scans)


@metric(ScanThreshold, label="scan threshold", direction="neither", unit="score units")
def threshold_scan(scans: ScanThreshold) -> Estimate:
    """Scan level: the conformal threshold above which a scan is called abnormal; n: the healthy people behind it."""
    return Estimate(scans.cut.threshold, n=scans.cut.people)


@metric(ScanThreshold, label="nominal scan specificity", direction="neither")
def nominal_specificity_scan(scans: ScanThreshold) -> Estimate:
    """The specificity that `threshold_scan` has on average at least: what was asked for, or n / (n + 1) of n people."""
    return Estimate(scans.cut.specificity, n=scans.cut.people)


@metric(ScanThreshold, label="scan sensitivity", direction="higher")
def sensitivity_scan(scans: ScanThreshold) -> Estimate:
    """Share of abnormal scans above `threshold_scan`: the recall."""
    return _share(scans, scans.scores.abnormal, scans.scores.scores > scans.cut.threshold)


@metric(ScanThreshold, label="scan specificity", direction="higher")
def specificity_scan(scans: ScanThreshold) -> Estimate:
    """Share of healthy scans (the controls) at `threshold_scan` or below."""
    return _share(scans, ~scans.scores.abnormal, scans.scores.scores <= scans.cut.threshold)


def _share(scans: ScanThreshold, chosen: Bool[np.ndarray, "scans"], found: Bool[np.ndarray, "scans"]) -> Estimate:
    people = [person for person, take in zip(scans.patients.subjects, chosen, strict=True) if take]
    return proportions.share(found[chosen], people)


@metric(ScanOracle, label="scan sensitivity", direction="higher")
def oracle_youden_sensitivity(scans: ScanOracle) -> Estimate:
    """Scan level, at the threshold with the best Youden index on the test scans: share of abnormal scans found."""
    return Estimate(scans.sensitivity, n=int(scans.scores.abnormal.sum()))


@metric(ScanOracle, label="scan specificity", direction="higher")
def oracle_youden_specificity(scans: ScanOracle) -> Estimate:
    """Scan level, at the threshold with the best Youden index on the test scans: share of healthy scans below it."""
    return Estimate(scans.specificity, n=int((~scans.scores.abnormal).sum()))


@metric(ScanOracle, label="scan accuracy", direction="higher")
def oracle_youden_accuracy(scans: ScanOracle) -> Estimate:
    """Scan level, at the threshold with the best Youden index on the test scans: share of scans called correctly."""
    right = (scans.scores.scores >= scans.threshold) == scans.scores.abnormal
    return Estimate(float(np.mean(right)), n=len(right))
