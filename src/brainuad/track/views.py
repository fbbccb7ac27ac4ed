"""Saved views and the note of an MLflow experiment: a study opens as a comparison of its models.

MLflow keeps a view as an experiment tag whose format is not documented, and has no API for it; why views are used all
the same is in `docs/decisions/0020-saved-views.md`. A test checks what we write; an import never fails because of it.
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

TAG = "mlflow.sharedViewState."
COMPARISON, RUNS = "comparison", "runs"


@dataclass(frozen=True)
class ShownNames:
    """Names in the views. `columns`: metrics in the table, the first is the one ordered by; `curves`: drawn by step.

    While no run has results, the columns are curves, and no bars are drawn of them.
    """

    columns: list[str]
    curves: list[str]
    models: list[str]
    all_metrics: list[str]
    params: list[str] = field(default_factory=list)
    """In which runs differ."""
    grouped: bool = True
    """Whether the comparison has a row per model, for there are models with several runs."""
    positive: frozenset[str] = frozenset()
    """Curves without a value of 0 or less: they are drawn on a logarithmic scale."""


def link(experiment: str, view: str, charts: bool = False) -> str:
    """Address of a saved view, relative to the server's."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={quote(view)}{mode}"


def note(study: str, experiment: str) -> str:
    """Markdown above the table of runs."""
    parallel = link(experiment, RUNS, charts=True)
    return (
        f"**Study {study}.** One run per model and seed; of several seeds the comparison shows the mean.\n\n"
        f"- [Comparison table]({link(experiment, COMPARISON)}), a row per model\n"
        f"- [Charts]({link(experiment, COMPARISON, charts=True)}): bars per model, training curves\n"
        f"- [Every run]({link(experiment, RUNS)}), and its [parallel coordinates]({parallel})\n\n"
        "Metrics are named `metric/data set:threshold rule:postprocessing`, as far as they have one; the ends of "
        "their 95 % intervals end in `:ci_low` and `:ci_high`. The threshold of `oracle` is the best before "
        "mask operators, chosen on test labels: "
        f"not a result. The full report is `results/{study}/report/index.html`."
    )


def view_tags(study: str, shown: ShownNames, now: int) -> dict[str, str]:
    """Experiment tags that hold the views. `now`: ms since 1970."""
    charts = [_bar(name) for name in shown.columns if name not in shown.curves]
    charts += [_line(name, name in shown.positive) for name in shown.curves]
    grouped = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "model"}]}
    parallel = [_parallel(shown.columns[:6], shown.params)] if len(shown.columns) > 1 else []
    folded = _folded(shown.all_metrics)
    comparison = _state(shown.columns, ["dataset"], charts, folded, grouped if shown.grouped else None)
    comparison["groupsExpanded"] = {f"tag.model.{model}": False for model in shown.models}  # a row per model
    runs = _state(shown.columns, ["model", "seed", "family", "commit"], parallel, folded, None)
    return {
        TAG + COMPARISON: _packed(f"{study}: models compared", comparison, now),
        TAG + RUNS: _packed(f"{study}: every run", runs, now),
    }


def has_results(tags: Mapping[str, str]) -> bool:
    """Whether a study's comparison shows bars, and not curves alone. `tags`: of the experiment."""
    text = tags.get(TAG + COMPARISON)
    return text is None or any(chart["type"] == "BAR" for chart in unpack(text)["compareRunCharts"])


def unpack(text: str) -> dict[str, Any]:
    """The state that a view's tag holds."""
    state: dict[str, Any] = json.loads(
        zlib.decompress(base64.b64decode(json.loads(text)["state"].removeprefix("deflate;")))
    )
    return state


def _packed(name: str, state: dict[str, Any], now: int) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})


def _state(
    columns: list[str],
    tag_columns: list[str],
    charts: list[dict[str, Any]],
    folded: list[str],
    group: dict[str, Any] | None,
) -> dict[str, Any]:
    name_column = "attributes.`Run Name`"
    shown = [f"metrics.`{name}`" for name in columns] + [f"tags.`{name}`" for name in tag_columns]
    sections = dict.fromkeys([chart["metricSectionId"] for chart in charts], True) | dict.fromkeys(folded, False)
    return {
        "searchFilter": "",
        "orderByKey": f"metrics.`{columns[0]}`" if columns else "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "runsHiddenMode": "SHOWALL",
        "useGroupedValuesInCharts": True,
        "columnOrder": [name_column, *shown],
        "columnWidths": {name_column: 330, **{name: min(340, 7 * len(name)) for name in shown}},
        "selectedColumns": shown,
        "runsPinned": [],
        "runsHidden": [],
        "hideEmptyCharts": True,
        "runsExpanded": {},
        "runsVisibilityMap": {},
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "groupBy": group,
        "isAccordionReordered": True,  # else the sections are sorted by name, and costs come first
        "compareRunSections": [
            {"uuid": s, "name": s, "display": display, "isReordered": True, "deleted": False, "isGenerated": False}
            for s, display in sections.items()
        ],
        "compareRunCharts": charts,
    }


def _folded(names: list[str]) -> list[str]:
    """Sections that MLflow adds for charts that the view does not name; listed here, they start folded."""
    return sorted({name.rpartition("/")[0] for name in names if "/" in name})


def _chart(chart_type: str, section: str, name: str, **more: Any) -> dict[str, Any]:
    unique = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{chart_type}/{section}/{name}"))
    about = {
        "uuid": unique,
        "type": chart_type,
        "metricSectionId": section,
        "displayName": name,
        "runsCountToCompare": 20,
    }
    return {**about, "deleted": False, "isGenerated": False, **more}


def _bar(metric: str) -> dict[str, Any]:
    dataset = metric.partition("/")[2].partition(":")[0]
    return _chart("BAR", f"On {dataset}", metric, metricKey=metric)


def _line(metric: str, logarithmic: bool) -> dict[str, Any]:
    scales = {"scaleType": "log" if logarithmic else "linear", "xAxisScaleType": "linear"}
    axes: dict[str, Any] = {"xAxisKey": "step", "yAxisKey": "metric", "yAxisExpressions": [], "lineSmoothness": 0}
    axes["range"] = {}
    return _chart("LINE", "Training", metric, metricKey=metric, selectedMetricKeys=[metric], **axes, **scales)


def _parallel(metrics: list[str], params: list[str]) -> dict[str, Any]:
    name = "Final metrics of every run"
    chosen = params or ["seed"]
    return _chart("PARALLEL", "All runs", name, selectedParams=chosen, selectedMetrics=metrics, showAllRuns=True)
