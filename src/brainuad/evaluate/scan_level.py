"""Rows of `metrics.tsv` at the scan level: the anomaly score of whole scans, which no chain changes."""

from __future__ import annotations

import numpy as np

from brainuad.evaluate import scanwise, statistics
from brainuad.evaluate.tables import Cases, Row, bare, row
from brainuad.formats.scans import lesion_types_in


def scan_level_rows(cases: Cases) -> list[Row]:
    """Scans that are not healthy against healthy ones; nothing unless there are both.

    Areas, by kind of anomaly or lesion too, a scan of several kinds counting for each; sensitivity and specificity
    where the score exceeds a quantile of the healthy validation scans, if there are any; and the Youden point of the
    test scans themselves, as oracle.
    """
    scores = np.array([*cases.scores, *(score for _, score in cases.healthy_scores)])
    others = len(cases.healthy_scores)
    ill = np.array([not scan.healthy for scan in cases.scans] + [False] * others)
    if ill.all() or not ill.any():
        return []
    subjects = [*cases.subjects, *(subject for subject, _ in cases.healthy_scores)]
    weights, ones = statistics.resamples(subjects, cases.settings.bootstrap), np.ones(len(ill))
    kinds = [*(lesion_types_in(scan.lesion_type) for scan in cases.scans), *([] for _ in range(others))]
    named = sorted({kind for found in kinds for kind in found})
    parts = {f"_{kind}": ~ill | np.array([kind in found for found in kinds]) for kind in named}
    rows: list[Row] = [row("none", "prevalence_scan", bare(ill.mean()), len(ill))]
    for name, part in {"": ones > 0, **parts}.items():
        for metric, area in (("auroc_scan", scanwise.auroc), ("ap_scan", scanwise.average_precision)):
            limits = statistics.interval(None if weights is None else area(scores[part], ill[part], weights[:, part]))
            value = float(area(scores[part], ill[part], ones[part]))
            rows.append(row("none", f"{metric}{name}", (value, *limits), int(part.sum())))
    if cases.validation_scores:
        quantile = cases.settings.scan_quantile
        cut = float(np.quantile(cases.validation_scores, quantile))
        above, rule = (scores > cut).astype(float), f"healthy_quantile_{quantile:g}"
        rows += [
            row(rule, "threshold_scan", bare(cut), len(cases.validation_scores)),
            row(rule, "sensitivity_scan", statistics.ratio(above * ill, 1.0 * ill, weights), int(ill.sum())),
            row(rule, "specificity_scan", statistics.ratio((1 - above) * ~ill, 1.0 * ~ill, weights), int((~ill).sum())),
        ]
    cut, sensitivity, specificity = scanwise.youden(scores, ill)
    right = ((scores >= cut) == ill).mean()
    return [
        *rows,
        row("oracle", "oracle_youden_sensitivity", bare(sensitivity), int(ill.sum())),
        row("oracle", "oracle_youden_specificity", bare(specificity), int((~ill).sum())),
        row("oracle", "oracle_youden_accuracy", bare(right), len(ill)),
    ]
