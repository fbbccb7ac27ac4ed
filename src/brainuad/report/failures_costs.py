"""`failures.tsv` and `costs.tsv`: scans that failed or were decided on, and the time and memory of the jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from brainuad.formats.files import atomic
from brainuad.formats.missing import STAGES
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan
from brainuad.report.study_results import IsThere

FAILURES = ["dataset", "scan", "stage", "state", "reason", "remedy"]
COSTS = ["stage", "model", "dataset", "jobs", "seconds", "cpu_seconds", "peak_memory_mb"]
ALL_STAGES = ("download", "preprocess", "normalize", *STAGES, "ceilings")
EXCLUDED = ("failed", "excluded")
"""States of scans that are not in the study."""
MADE = "normalize"
"""Stage of scans that could not be made from others."""


def failures(
    listed: Iterable[Scan],
    verdicts: Mapping[tuple[str, str], QualityRow],
    data_records: Iterable[Mapping[str, Any]],
    decisions: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame:
    """Columns `FAILURES`: a row per scan that failed, has warnings or was decided on; those not in the study first.

    `decisions`: a person's decisions in words, by data set and scan; the others as in `StudyResults`.
    """
    rows = [
        (
            scan.dataset,
            scan.scan,
            "decisions",
            scan.state,
            _decided(scan, decisions),
            "change its line in the decisions",
        )
        for scan in listed
        if scan.state in ("excluded", "included")
    ]
    decided = {row[:2] for row in rows}
    rows += [
        (dataset, scan, "preprocess", verdict.state, verdict.reasons, verdict.remedy)
        for (dataset, scan), verdict in verdicts.items()
        if verdict.state != "ok" and (dataset, scan) not in decided
    ]
    known = {row[:2] for row in rows if row[3] == "failed"}
    remedy = "add what is missing or list the subject under `exclude`"
    rows += [
        (scan.dataset, scan.scan, "split", scan.state, scan.note, remedy)
        for scan in listed
        if scan.state == "failed" and (scan.dataset, scan.scan) not in known
    ]
    rows += [
        (record["tags"]["dataset"], scan, MADE, "failed", why, "nothing, or add lesion masks to `masks`")
        for record in data_records
        for scan, why in record["facts"].get("excluded", {}).items()
    ]
    rows.sort(key=lambda row: (row[3] not in EXCLUDED, *row[:2]))
    return pd.DataFrame(rows, columns=FAILURES)


def costs(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Columns `COSTS`: sums of time (s) over the jobs of a stage, model and data set, and the largest memory (MB)."""
    numbers = ("seconds", "cpu_seconds", "peak_memory_mb")
    rows = [
        [r["stage"], r["tags"].get("model", ""), r["tags"].get("dataset", ""), 1, *(r[name] for name in numbers)]
        for r in records
    ]
    totals = dict.fromkeys(COSTS[3:6], "sum") | {"peak_memory_mb": "max"}
    table = pd.DataFrame(rows, columns=COSTS).groupby(COSTS[:3], sort=False).agg(totals).reset_index()
    return table.sort_values("stage", key=lambda column: column.map(ALL_STAGES.index), kind="stable", ignore_index=True)


def deleted_records(
    records: Iterable[Mapping[str, Any]], used: Iterable[Mapping[str, Any]], is_there: IsThere
) -> list[dict[str, Any]]:
    """What jobs cost whose outputs were deleted since, and their run records with them.

    `records`: the run records that are there; `used`: the usage records beside the logs (`resources.usage`).
    """
    known = {_key(record["stage"], record["tags"]) for record in records}
    found = [{"stage": each["rule"], "tags": each["wildcards"], **each["used"]} for each in used if each["done"]]
    return [
        record
        for record in found
        if record["stage"] in STAGES
        and _key(record["stage"], record["tags"]) not in known
        and is_there(record["stage"], record["tags"])
    ]


def _key(stage: str, tags: Mapping[str, str]) -> tuple[str, ...]:
    wildcards = ("model", "seed") if stage == "train" else ("model", "seed", "dataset", "postprocessing")
    return (stage, *(tags.get(name, "") for name in wildcards))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write `failures.tsv` or `costs.tsv`."""
    with atomic(path) as part:
        table.to_csv(part, sep="\t", index=False, float_format="%.6g")


def _decided(scan: Scan, decisions: Mapping[str, Mapping[str, str]]) -> str:
    """Who decided on a scan and why, then what else is known of it."""
    decision = decisions.get(scan.dataset, {}).get(scan.scan)
    return "; ".join(filter(None, [decision or scan.state, scan.note]))
