"""Resources that jobs used and requested, by rule, and the request to suggest."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from brainuad.formats.files import atomic
from brainuad.terminal import aligned

FILE_NAME = "efficiency.tsv"
SAFETY_FACTOR = 1.3
SNAKEMAKE_MB = 400
"""Memory of the two Snakemake processes around each Slurm job, which counts as the job's: 2 x 170 MB measured on a
small workflow."""
START_MINUTES = 2
"""For the start of Snakemake and for imports."""


@dataclass(frozen=True)
class RuleUsage:
    """The jobs of one rule: the largest value over them. None: not requested.

    `cores_used` is CPU time over wall time. No minutes are suggested where the longest job was resumed, for none of
    its turns shows how long the whole job takes.
    """

    rule: str
    jobs: int
    requested_mem_mb: int | None
    used_mem_mb: int
    suggested_mem_mb: int
    requested_minutes: int | None
    used_minutes: float
    suggested_minutes: int | None
    requested_cores: int
    cores_used: float


def summarise_rules(jobs: Sequence[Mapping[str, Any]]) -> list[RuleUsage]:
    """One row per rule, sorted by name. `jobs`: as `brainuad.resources.usage` reads them."""
    by_rule: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        by_rule.setdefault(job["rule"], []).append(job)
    return [_summarise(rule, by_rule[rule]) for rule in sorted(by_rule)]


def suggested_profile(rows: Sequence[RuleUsage]) -> str:
    """The lines to paste into the profile, empty if there are none. Later attempts request more, as the rules do."""
    with_runtime = [row for row in rows if row.requested_minutes is not None and row.suggested_minutes is not None]
    suggested = [row for row in rows if row.requested_mem_mb is not None or row in with_runtime]
    if not suggested:
        return ""
    note = f"# largest use + {SAFETY_FACTOR - 1:.0%}, for data of this size; paste into the profile"
    lines = [note, "set-resources:"]
    for row in suggested:
        lines.append(f"  {row.rule}:")
        lines += [f"    mem_mb: attempt * {row.suggested_mem_mb}"] * (row.requested_mem_mb is not None)
        if row in with_runtime:
            lines.append(f"    runtime: attempt * {row.suggested_minutes}")
        elif row.suggested_minutes is None:
            lines.append("    # runtime as it is: the longest job was resumed")
    return "\n".join(lines)


def format_table(rows: Sequence[RuleUsage]) -> str:
    """The table for a terminal, followed by the lines for the profile."""
    head = ("rule", "jobs", "memory requested, used (MB)", "time requested, used (min)", "cores requested, used")
    cells = [
        (
            row.rule,
            str(row.jobs),
            f"{_or_dash(row.requested_mem_mb)}, {row.used_mem_mb}",
            f"{_or_dash(row.requested_minutes)}, {row.used_minutes:.1f}",
            f"{row.requested_cores}, {row.cores_used:.1f}",
        )
        for row in rows
    ]
    return "\n".join([aligned(head, cells), "", suggested_profile(rows)])


def write_table(path: Path, rows: Sequence[RuleUsage]) -> None:
    """Write the table."""
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(RuleUsage)], delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in rows)


def _summarise(rule: str, jobs: Sequence[Mapping[str, Any]]) -> RuleUsage:
    memory_mb = max(job["used"]["peak_memory_mb"] for job in jobs)
    longest = max(jobs, key=lambda job: job["used"]["seconds"])
    minutes = longest["used"]["seconds"] / 60
    seconds = sum(job["used"]["seconds"] for job in jobs)
    was_resumed = longest.get("turns", 1) > 1
    return RuleUsage(
        rule,
        len(jobs),
        _largest_request(jobs, "mem_mb"),
        math.ceil(memory_mb),
        _round_up(SAFETY_FACTOR * memory_mb + SNAKEMAKE_MB, 100),
        _largest_request(jobs, "runtime"),
        round(minutes, 2),
        None if was_resumed else _round_up(SAFETY_FACTOR * minutes + START_MINUTES, 5),
        max(job["threads"] for job in jobs),
        round(sum(job["used"]["cpu_seconds"] for job in jobs) / max(seconds, 1e-9), 2),
    )


def _largest_request(jobs: Sequence[Mapping[str, Any]], resource: str) -> int | None:
    requests = [job["requested"][resource] for job in jobs if isinstance(job["requested"].get(resource), int | float)]
    return int(max(requests)) if requests else None


def _round_up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
