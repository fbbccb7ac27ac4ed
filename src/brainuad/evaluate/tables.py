"""From counts to the rows of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from brainuad.config.study import Evaluate
from brainuad.evaluate import pooled, statistics
from brainuad.evaluate.peak import Peak
from brainuad.evaluate.scan import Facts, MaskCounts
from brainuad.formats.scans import lesion_types_in

Number = tuple[float, float, float]
"""A value and its interval."""
Row = dict[str, Any]

SIZES = {"": (0.0, np.inf), "_small": (0.0, 1.0), "_medium": (1.0, 10.0), "_large": (10.0, np.inf)}
"""Classes of lesions, in ml: from, and below."""


@dataclass(frozen=True)
class Cases:
    """The test scans of a data set, the same for every chain."""

    scans: Sequence[Facts]
    scores: Sequence[float]
    """Anomaly score of each scan."""
    healthy_scores: Sequence[tuple[str, float]]
    """(person, score) of the healthy test scans of other data sets."""
    validation_scores: Sequence[float]
    """Scores of the healthy validation scans of those data sets."""
    settings: Evaluate
    residuals: list[float] = field(default_factory=list)
    """Root mean square of scan minus reconstruction in the scored brain, of each scan; NaN without reconstruction."""

    @property
    def subjects(self) -> list[str]:
        """The patient of each scan."""
        return [scan.person for scan in self.scans]

    @property
    def with_lesions(self) -> bool:
        """Whether any scan holds lesion that is scored."""
        return any(scan.lesion_ml > 0 for scan in self.scans)

    @property
    def corrupted(self) -> bool:
        """Whether any scan is bad as a whole; then no voxel is scored."""
        return any(scan.corrupted for scan in self.scans)

    def resamples(self) -> statistics.Weights | None:
        """Bootstrap samples of the patients."""
        return statistics.resamples(self.subjects, self.settings.bootstrap)


@dataclass(frozen=True)
class Maps:
    """The maps of all scans. Chains without map operators share them."""

    spool: pooled.Spool
    areas: list[tuple[float, float]] = field(default_factory=list)
    """(AUPRC, AUROC) of each scan."""


@dataclass(frozen=True)
class Masks:
    """The masks of a threshold rule."""

    cut: float
    counts: list[MaskCounts] = field(default_factory=list)
    """For each scan."""


@dataclass(frozen=True)
class Postprocessing:
    """What a chain made of all scans. `masks`: by threshold rule, the study's first one first."""

    maps: Maps
    masks: dict[str, Masks]
    located: bool
    """Whether the chain leaves one component, which then holds the peak."""
    peaks: list[Peak] = field(default_factory=list)
    """Of each scan."""

    @property
    def peak_rule(self) -> str:
        """The rule whose mask bounds the peaks; `none` if the whole brain does."""
        return next(iter(self.masks), "none") if self.located else "none"


def map_rows(maps: Maps, cases: Cases) -> tuple[list[Row], list[Row]]:
    """Rows of `metrics.tsv` that no threshold rule enters, and those of `curves.tsv`."""
    if not cases.with_lesions:
        return [], [] if cases.corrupted else _curve_rows(maps, None)
    weights, count = cases.resamples(), len(cases.scans)
    counted = pooled.pool(maps.spool)
    lesion, normal = counted.lesion.sum(axis=1), counted.normal.sum(axis=1)
    areas = pooled.areas(counted, weights)
    auprc = np.array([auprc for auprc, _ in maps.areas])
    shares = 1 / np.array([cases.subjects.count(subject) for subject in cases.subjects])
    dice = pooled.oracle_dice(counted, shares)
    rows = [
        row("none", "prevalence", statistics.ratio(lesion, lesion + normal, weights), count),
        row("none", "auprc_pooled", areas["auprc_pooled"], count),
        row("none", "auprc_scan", statistics.patient_mean(auprc, cases.subjects, weights), _finite(auprc)),
        row("none", "auroc_pooled", areas["auroc_pooled"], count),
        *_by_kind(auprc, cases),
        row("oracle", "threshold", bare(pooled.oracle_cut(counted)), count),
        row("oracle", "dice_pooled", areas["dice_pooled"], count),
        row("oracle", "dice_volume", statistics.patient_mean(dice, cases.subjects, weights), _finite(dice)),
    ]
    return rows, _curve_rows(maps, counted)


def peak_rows(postprocessing: Postprocessing, cases: Cases) -> list[Row]:
    """The row of `metrics.tsv` on peaks; nothing without lesions."""
    hits = np.array([peak.peak_hit for peak in postprocessing.peaks])
    if not np.isfinite(hits).any():
        return []
    number = statistics.patient_mean(hits, cases.subjects, cases.resamples())
    return [row(postprocessing.peak_rule, "peak_hit_rate", number, _finite(hits))]


def mask_rows(rule: str, masks: Masks, cases: Cases) -> list[Row]:
    """Rows of `metrics.tsv` for one threshold rule; nothing for spoiled scans, for no mark in them is wrong."""
    if cases.corrupted:
        return []
    weights, count = cases.resamples(), len(cases.scans)

    def total(name: str) -> np.ndarray:
        return np.array([getattr(mask, name) for mask in masks.counts], dtype=float)

    hits, marked = total("hits"), total("marked")
    rows = [row(rule, "threshold", bare(masks.cut), count)]
    if cases.with_lesions:
        dice, slices = total("dice"), total("slices")
        pooled_dice = statistics.ratio(2 * hits, marked + total("lesion"), weights)
        slice_dice = statistics.ratio(total("slice_dice"), slices, weights)
        rows += [
            row(rule, "dice_pooled", pooled_dice, count),
            row(rule, "dice_volume", statistics.patient_mean(dice, cases.subjects, weights), _finite(dice)),
            row(rule, "dice_slice", slice_dice, int((slices > 0).sum())),
            row(rule, "dice_empty", bare(count - _finite(dice)), count),
        ]
        for name, (low, high) in SIZES.items():
            chosen = [(mask.ml >= low) & (mask.ml < high) for mask in masks.counts]
            found = [
                mask.shares[these] >= cases.settings.hit_share for mask, these in zip(masks.counts, chosen, strict=True)
            ]
            there, caught = (np.array([each.sum() for each in part], dtype=float) for part in (chosen, found))
            if there.any():
                number = statistics.ratio(caught, there, weights)
                rows.append(row(rule, f"lesion_recall{name}", number, int((there > 0).sum())))
    false_positives = statistics.ratio(total("false_positives"), np.ones(count), weights)
    rows.append(row(rule, "fp_per_scan", false_positives, count))
    rows.append(row(rule, "voxel_fpr", statistics.ratio(marked - hits, total("normal"), weights), count))
    return rows


def scan_rows(postprocessing: Postprocessing, cases: Cases) -> list[Row]:
    """Rows of `scans.tsv`, one for each scan, with the masks of the first rule."""
    maps, masks = postprocessing.maps, postprocessing.masks
    rule = next(iter(masks), "none")
    rows: list[Row] = []
    for i, scan in enumerate(cases.scans):
        found: Row = {
            **asdict(scan),
            "healthy": int(scan.healthy),
            "score": cases.scores[i],
            "auprc": maps.areas[i][0],
            "auroc": maps.areas[i][1],
            "residual_rms": cases.residuals[i],
            **postprocessing.peaks[i].row(),
            "threshold_rule": rule,
        }
        if rule in masks:
            mask = masks[rule].counts[i]
            found["threshold"] = masks[rule].cut
            found["dice"] = mask.dice if cases.with_lesions else np.nan
            found["predicted_ml"] = mask.predicted_ml
            found["false_positives"] = np.nan if scan.corrupted else mask.false_positives
            found["lesions_detected"] = int((mask.shares >= cases.settings.hit_share).sum())
        rows.append(found)
    return rows


def lesion_rows(rule: str, masks: Masks, cases: Cases) -> list[Row]:
    """Rows of `lesions.tsv` for one threshold rule, one for each lesion of a counted size."""
    return [
        {"scan": scan.scan, "threshold_rule": rule, "lesion": number, "ml": ml}
        | {"overlap": share, "detected": int(share >= cases.settings.hit_share)}
        for scan, mask in zip(cases.scans, masks.counts, strict=True)
        for number, (ml, share) in enumerate(zip(mask.ml, mask.shares, strict=True), 1)
    ]


def _by_kind(auprc: np.ndarray, cases: Cases) -> list[Row]:
    """`auprc_scan` of each kind alone; a scan of several kinds counts for each."""
    kinds = [lesion_types_in(scan.lesion_type) for scan in cases.scans]
    rows = []
    for kind in sorted({kind for found in kinds for kind in found}):
        values = np.where([kind in found for found in kinds], auprc, np.nan)
        number = statistics.patient_mean(values, cases.subjects, cases.resamples())
        rows.append(row("none", f"auprc_scan_{kind}", number, _finite(values)))
    return rows


def _curve_rows(maps: Maps, counted: pooled.Pooled | None) -> list[Row]:
    return [{"curve": curve, "x": x, "y": y} for curve, x, y in pooled.curves(maps.spool, counted)]


def row(rule: str, metric: str, number: Number, n: int) -> Row:
    """A row of `metrics.tsv`, but for the tags of its job."""
    value, low, high = number
    return {"threshold_rule": rule, "metric": metric, "value": value, "ci_low": low, "ci_high": high, "n": n}


def bare(value: float) -> Number:
    """A number without an interval."""
    return float(value), np.nan, np.nan


def _finite(values: np.ndarray) -> int:
    return int(np.isfinite(values).sum())
