"""From counts to the rows of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from brainuad.config.study import Evaluate
from brainuad.evaluate import pooled, scanwise, statistics
from brainuad.evaluate.scan import MaskCounts, Truth

Number = tuple[float, float, float]
Row = dict[str, Any]

SIZES = {"small": (0.0, 1.0), "medium": (1.0, 10.0), "large": (10.0, np.inf)}
"""Classes of lesions, in ml."""


@dataclass
class Scored:
    """One chain on all scans of a data set."""

    truths: Sequence[Truth]
    scores: Sequence[float]
    """Anomaly score of each scan."""
    healthy_scores: Sequence[tuple[str, float]]
    """(subject, score) of the healthy test scans of other data sets."""
    spool: pooled.Spool
    cuts: dict[str, float]
    """By rule, in the study's order."""
    areas: list[tuple[float, float]] = field(default_factory=list)
    """(AUPRC, AUROC) of each scan."""
    masks: dict[str, list[MaskCounts]] = field(default_factory=dict)
    """By rule, for each scan."""

    @property
    def subjects(self) -> list[str]:
        """The patient of each scan."""
        return [truth.scan.subject for truth in self.truths]

    @property
    def with_lesions(self) -> bool:
        """Whether any scan holds lesion that is scored."""
        return any(truth.inside.any() for truth in self.truths)


def metric_rows(chain: Scored, settings: Evaluate) -> tuple[list[Row], list[Row]]:
    """Rows of `metrics.tsv` and of `curves.tsv`, without the job's own columns."""
    weights = statistics.resamples(chain.subjects, settings.bootstrap)
    count = len(chain.truths)
    rows: list[Row] = []

    def add(rule: str, metric: str, number: Number, n: int = count) -> None:
        value, low, high = number
        rows.append({"threshold_rule": rule, "metric": metric, "value": value, "ci_low": low, "ci_high": high, "n": n})

    counted = pooled.pool(chain.spool) if chain.with_lesions else None
    if counted is not None:
        lesion, normal = counted.lesion.sum(axis=1), counted.normal.sum(axis=1)
        add("none", "prevalence", statistics.ratio(lesion, lesion + normal, weights))
        areas = pooled.areas(counted, weights)
        by_scan = np.array([auprc for auprc, _ in chain.areas])
        add("none", "auprc_pooled", areas["auprc_pooled"])
        number = statistics.patient_mean(by_scan, chain.subjects, weights)
        add("none", "auprc_scan", number, int(np.isfinite(by_scan).sum()))
        add("none", "auroc_pooled", areas["auroc_pooled"])
    for metric, rule, number, n in _scan_level(chain, settings):
        add(rule, metric, number, n)
    for rule, masks in chain.masks.items():
        add(rule, "cut", (chain.cuts[rule], np.nan, np.nan))
        for metric, number, n in _mask_metrics(masks, chain, settings, weights):
            add(rule, metric, number, n)
    if counted is not None:
        cut, dice = pooled.oracle(counted)
        add("oracle", "cut", (cut, np.nan, np.nan))
        add("oracle", "dice_pooled", areas["dice_pooled"])
        number = statistics.patient_mean(dice, chain.subjects, weights)
        add("oracle", "dice_volume", number, int(np.isfinite(dice).sum()))
    curves = [{"kind": kind, "x": x, "y": y} for kind, x, y in pooled.curves(chain.spool, counted)]
    return rows, curves


def _mask_metrics(
    masks: Sequence[MaskCounts], chain: Scored, settings: Evaluate, weights: statistics.Weights | None
) -> list[tuple[str, Number, int]]:
    def total(name: str) -> Float[np.ndarray, "scans"]:
        return np.array([getattr(mask, name) for mask in masks], dtype=float)

    hits, marked, lesion, count = total("hits"), total("marked"), total("lesion"), len(masks)
    rows: list[tuple[str, Number, int]] = []
    if chain.with_lesions:
        dice = total("dice")
        valid, slices = int(np.isfinite(dice).sum()), total("slices")
        rows += [
            ("dice_pooled", statistics.ratio(2 * hits, marked + lesion, weights), count),
            ("dice_volume", statistics.patient_mean(dice, chain.subjects, weights), valid),
            ("dice_slice", statistics.ratio(total("slice_dice"), slices, weights), int((slices > 0).sum())),
            ("dice_empty", (float(count - valid), np.nan, np.nan), count),
        ]
        for name, (low, high) in {"": (0.0, np.inf), **{f"_{size}": ends for size, ends in SIZES.items()}}.items():
            chosen = [(mask.ml >= low) & (mask.ml < high) for mask in masks]
            there = np.array([each.sum() for each in chosen], dtype=float)
            pairs = zip(masks, chosen, strict=True)
            found = np.array([(mask.shares[each] >= settings.hit_share).sum() for mask, each in pairs], dtype=float)
            if there.any():
                number = statistics.ratio(found, there, weights)
                rows.append((f"lesion_recall{name}", number, int((there > 0).sum())))
    rows.append(("fp_per_scan", statistics.ratio(total("false_positives"), np.ones(count), weights), count))
    rows.append(("marked_share", statistics.ratio(marked - hits, total("normal"), weights), count))
    return rows


def _scan_level(chain: Scored, settings: Evaluate) -> list[tuple[str, str, Number, int]]:
    """(metric, rule, number, n): scans with lesions against healthy ones; nothing unless there are both."""
    scores = np.array([*chain.scores, *(score for _, score in chain.healthy_scores)])
    ill = np.array([not truth.healthy for truth in chain.truths] + [False] * len(chain.healthy_scores))
    if ill.all() or not ill.any():
        return []
    weights = statistics.resamples([*chain.subjects, *(name for name, _ in chain.healthy_scores)], settings.bootstrap)
    value = float(scanwise.auroc(scores, ill, np.ones(len(ill))))
    limits = statistics.interval(None if weights is None else scanwise.auroc(scores, ill, weights))
    _, sensitivity, specificity = scanwise.youden(scores, ill)
    return [
        ("auroc_scan", "none", (value, *limits), len(ill)),
        ("sensitivity_scan", "oracle", (sensitivity, np.nan, np.nan), len(ill)),
        ("specificity_scan", "oracle", (specificity, np.nan, np.nan), len(ill)),
    ]


def scan_rows(chain: Scored, settings: Evaluate) -> list[Row]:
    """Rows of `scans.tsv`, one for each scan."""
    rule = next(iter(chain.masks), None)
    rows: list[Row] = []
    for i, truth in enumerate(chain.truths):
        row: Row = {
            "scan": truth.scan.scan,
            "subject": truth.scan.subject,
            "healthy": int(truth.healthy),
            "brain_ml": int(truth.scored.sum()) * truth.voxel_ml,
            "lesion_ml": int(truth.inside.sum()) * truth.voxel_ml,
            "lesion_outside": truth.outside,
            "score": chain.scores[i],
            "auprc": chain.areas[i][0],
            "auroc": chain.areas[i][1],
            "threshold_rule": rule or "none",
            "lesions": int((truth.lesions.ml >= settings.min_lesion_ml).sum()),
        }
        if rule is not None:
            mask = chain.masks[rule][i]
            row["threshold"] = chain.cuts[rule]
            row["dice"] = mask.dice if chain.with_lesions else np.nan
            row["marked_ml"] = mask.marked * truth.voxel_ml
            row["false_positives"] = mask.false_positives
            row["lesions_found"] = int((mask.shares >= settings.hit_share).sum())
        rows.append(row)
    return rows


def lesion_rows(chain: Scored, settings: Evaluate) -> list[Row]:
    """Rows of `lesions.tsv`, one for each lesion of a counted size and each rule."""
    return [
        {"scan": truth.scan.scan, "threshold_rule": rule, "lesion": number, "ml": ml}
        | {"share_marked": share, "found": int(share >= settings.hit_share)}
        for rule, masks in chain.masks.items()
        for truth, mask in zip(chain.truths, masks, strict=True)
        for number, (ml, share) in enumerate(zip(mask.ml, mask.shares, strict=True), 1)
    ]


def table(rows: Sequence[Row], common: Mapping[str, Any], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows with the job's own columns (model, seed ...), in the order of `columns`; what a row lacks stays empty."""
    return pd.DataFrame([{**common, **row} for row in rows], columns=list(columns))
