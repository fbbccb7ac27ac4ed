"""From scored scans to the rows of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from brainuad import metrics
from brainuad.evaluate.scored import ScoredMaps, ScoredPostprocessing, ScoredScans, oracle
from brainuad.metrics import by_name, pooled, scanwise
from brainuad.metrics.evidence import Evidence
from brainuad.metrics.registry import NO_RULE, Estimate
from brainuad.metrics.statistics import Scale

TableRow = dict[str, Any]
METRICS, SCANS, LESIONS, CURVES = "metrics.tsv", "scans.tsv", "lesions.tsv", "curves.tsv"


def all_rows(scans: ScoredScans, postprocessings: Mapping[str, ScoredPostprocessing]) -> dict[str, list[TableRow]]:
    """The rows of each table by its name, without the columns that all rows of the job share."""
    rows: dict[str, list[TableRow]] = {name: [] for name in (METRICS, SCANS, LESIONS, CURVES)}
    of_maps: dict[int, tuple[list[TableRow], list[TableRow]]] = {}  # shared maps share their intervals
    same = [*scan_level_rows(scans), *mean_rows(NO_RULE, scans.reconstruction, scans)]
    roc = roc_rows(scans)
    for label, postprocessing in postprocessings.items():
        if id(postprocessing.maps) not in of_maps:
            of_maps[id(postprocessing.maps)] = map_rows(postprocessing.maps, scans)
        numbers, curves = of_maps[id(postprocessing.maps)]
        peaks = metric_rows(postprocessing.peak_evidence(scans))
        masks = mask_rows(postprocessing, scans)
        new = {METRICS: [*numbers, *same, *peaks, *masks], CURVES: curves + roc + froc_rows(postprocessing, scans)}
        new |= {SCANS: scan_rows(postprocessing, scans), LESIONS: lesion_rows(postprocessing, scans)}
        for name in rows:
            rows[name] += [{"postprocessing": label, **row} for row in new[name]]
    return rows


def metric_rows(*evidence: Evidence | None) -> list[TableRow]:
    """Rows of `metrics.tsv`: every metric of the evidence."""
    given = (each for each in evidence if each is not None)
    return [_metric_row(each.rule, name, value) for each in given for name, value in metrics.estimates(each)]


def map_rows(maps: ScoredMaps, scans: ScoredScans) -> tuple[list[TableRow], list[TableRow]]:
    """Rows of `metrics.tsv` from maps alone, and those of `curves.tsv`; nothing for corrupted scans."""
    evidence = maps.evidence(scans)
    if evidence is None:
        return [], [] if scans.corrupted else _curve_rows(maps, None)
    return metric_rows(evidence, oracle(evidence)), _curve_rows(maps, evidence.counts)


def scan_level_rows(scans: ScoredScans) -> list[TableRow]:
    """Rows of `metrics.tsv` on whole scans; nothing of their scores without both abnormal and healthy scans."""
    kinds = metric_rows(scans.kinds())
    scores = scans.scan_scores()
    if scores is None:
        return kinds
    return kinds + metric_rows(scores, scans.scan_threshold(scores), scans.scan_oracle(scores))


def roc_rows(scans: ScoredScans) -> list[TableRow]:
    """Rows of `curves.tsv`: the ROC curve of the scores; none without both abnormal and healthy scans."""
    scores = scans.scan_scores()
    return [] if scores is None else _points("roc_scan", scanwise.roc(scores.scores, scores.abnormal))


def mask_rows(postprocessing: ScoredPostprocessing, scans: ScoredScans) -> list[TableRow]:
    """Rows of `metrics.tsv` by threshold rule; nothing for corrupted scans, in which no predicted voxel is wrong."""
    rows: list[TableRow] = []
    for rule, masks in postprocessing.masks.items() if not scans.corrupted else ():
        rows += metric_rows(postprocessing.mask_evidence(rule, scans), postprocessing.healthy_masks(rule, scans))
        rows += mean_rows(rule, masks.metrics, scans)
    return rows


def mean_rows(rule: str, metrics: Mapping[str, Sequence[float]], scans: ScoredScans) -> list[TableRow]:
    """Rows of `metrics.tsv`: the mean over patients of metrics of each scan, by name, where any scan has a value."""
    defined = {name: np.array(values) for name, values in metrics.items() if np.isfinite(values).any()}
    return [_metric_row(rule, name, scans.patients.mean(values, _scale(name))) for name, values in defined.items()]


def _scale(name: str) -> Scale | None:
    """Of a metric of one scan: what has a unit is no share, even where all values are under 1."""
    return "amount" if by_name()[name].unit else None


def scan_rows(postprocessing: ScoredPostprocessing, scans: ScoredScans) -> list[TableRow]:
    """Rows of `scans.tsv`, one for each scan, with the masks of the first rule."""
    maps, masks = postprocessing.maps, postprocessing.masks
    rule = next(iter(masks), NO_RULE)
    p_values = scans.scores.p_values()
    rows: list[TableRow] = []
    for i, scan in enumerate(scans.facts):
        row: TableRow = {
            **asdict(scan),
            "healthy": int(scan.healthy),
            "unmarked": int(scan.unmarked),
            **asdict(scans.map_fits[i]),
            "score": scans.scores.scans[i],
            "p_healthy": p_values[i],
            "auprc": maps.areas[i][0],
            "auroc": maps.areas[i][1],
            "residual_rms": scans.residual_rms[i],
            **{name: values[i] for name, values in scans.reconstruction.items()},
            **asdict(postprocessing.peaks[i]),
            "threshold_rule": rule,
        }
        if rule in masks:
            mask = masks[rule].counts[i]
            row["threshold"] = masks[rule].threshold
            row["dice"] = mask.dice if scans.with_lesions else np.nan
            row["predicted_ml"] = mask.predicted_ml
            row["false_positives"] = np.nan if scan.corrupted else mask.false_positives
            row["false_ml"] = np.nan if scan.corrupted else mask.false_ml
            row["lesions_detected"] = mask.detected
        rows.append(row)
    return rows


def lesion_rows(postprocessing: ScoredPostprocessing, scans: ScoredScans) -> list[TableRow]:
    """Rows of `lesions.tsv`, one for each threshold rule and lesion of a counted size."""
    return [
        {"scan": scan.scan, "threshold_rule": rule, "lesion": number}
        | {"ml": ml, "share_outside": outside, "overlap": overlap, "detected": int(detected)}
        for rule, masks in postprocessing.masks.items()
        for scan, mask in zip(scans.facts, masks.counts, strict=True)
        for number, (ml, outside, overlap, detected) in enumerate(
            zip(mask.lesions_ml, mask.lesions_outside, mask.found.overlaps, mask.found.detected, strict=True), 1
        )
    ]


def froc_rows(postprocessing: ScoredPostprocessing, scans: ScoredScans) -> list[TableRow]:
    """Rows of `curves.tsv` from the masks of the first rule; none without lesions of a counted size."""
    rule = next(iter(postprocessing.masks), NO_RULE)
    if rule == NO_RULE or scans.corrupted or not any(scan.lesions for scan in scans.facts):
        return []
    froc = postprocessing.mask_evidence(rule, scans).froc
    return _points("froc", froc.curve()) + _points("froc_ml", froc.curve(ml=True))


def _points(curve: str, points: tuple[np.ndarray, np.ndarray]) -> list[TableRow]:
    return [{"curve": curve, "x": float(x), "y": float(y)} for x, y in zip(*points, strict=True)]


def _curve_rows(maps: ScoredMaps, counts: pooled.BinnedCounts | None) -> list[TableRow]:
    return [{"curve": curve, "x": x, "y": y} for curve, x, y in pooled.curves(maps.values, counts)]


def _metric_row(rule: str, name: str, estimate: Estimate) -> TableRow:
    numbers = {"value": estimate.value, "ci_low": estimate.low, "ci_high": estimate.high, "n": estimate.n}
    return {"threshold_rule": rule, "metric": name, **numbers}
