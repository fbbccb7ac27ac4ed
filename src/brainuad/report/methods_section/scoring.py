"""The metrics that a study reports, and the settings of its scoring, as they are declared."""

from __future__ import annotations

import pandas as pd

from brainuad import metrics as declared
from brainuad.config.evaluate import Evaluate
from brainuad.config.told import in_words
from brainuad.metrics.evidence import LESION_SIZES
from brainuad.metrics.registry import Metric
from brainuad.report.methods_section.blocks import Facts

BY_SIZE = ("lesion_size", "lesion_load")
"""Parts of a data set that are named by `LESION_SIZES`; others are named by lesion types."""


def metrics_table(metrics: pd.DataFrame) -> Facts | None:
    """Definition of each metric that has a value."""
    names = set(metrics["metric"])
    found = [metric for metric in declared.by_name().values() if _occurs(metric, names)]
    if not found:
        return None
    better = {"higher": "higher is better", "lower": "lower is better", "neither": ""}
    rows = [
        [
            metric.name,
            metric.label,
            metric.description,
            ", ".join(filter(None, [metric.unit, better[metric.direction]])),
        ]
        for metric in found
    ]
    caption = "Definitions of the metrics, and what each leaves out where it is not defined. "
    caption += "Rows of the oracle are at thresholds chosen on the test labels: they are no results."
    caption += " SSIM: [@wang2004]." if "ssim" in names else ""
    return Facts(caption, ["metric", "in words", "definition", "unit, direction"], rows, folded=True)


def _occurs(metric: Metric, names: set[str]) -> bool:
    """Whether a metric is among these names, for metrics of parts under the name of any part."""
    if not metric.part:
        return metric.name in names
    start, end = metric.name.split(f"<{metric.part}>")
    parts = {each[len(start) : len(each) - len(end)] for each in names if each.startswith(start) and each.endswith(end)}
    sizes = parts & set(LESION_SIZES)
    return bool(sizes if metric.part in BY_SIZE else parts - sizes - {""})


def settings_table(evaluate: Evaluate) -> Facts:
    """The settings of scoring."""
    rows = [
        [name, in_words(getattr(evaluate, name)), " ".join((field.description or "").split())]
        for name, field in type(evaluate).model_fields.items()
    ]
    return Facts("Settings of scoring", ["setting", "value", "meaning"], rows, folded=True)
