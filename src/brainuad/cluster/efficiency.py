"""What jobs used of what they asked for, by rule, and what to ask for next time."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from brainuad.formats.files import atomic
from brainuad.terminal import aligned

NAME = "efficiency.tsv"
MARGIN = 1.3
SNAKEMAKE_MB = 400
"""Memory of the two Snakemake processes that each job of Slurm runs in, which counts as the job's: measured 2 x 170 MB
on a small workflow."""
START_MINUTES = 2
"""For their start, and for imports."""


@dataclass(frozen=True)
class Row:
    """The jobs of one rule. Largest values over them; `cores_used` is CPU time by time. Empty: not asked for.

    No minutes are suggested where the longest job ran in several turns, for none of them shows what the whole takes.
    """

    rule: str
    jobs: int
    asked_mem_mb: int | None
    used_mem_mb: int
    suggested_mem_mb: int
    asked_minutes: int | None
    used_minutes: float
    suggested_minutes: int | None
    asked_cores: int
    cores_used: float


def by_rule(jobs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows in the order of names. `jobs`: as `formats.usage` reads them."""
    rules: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        rules.setdefault(job["rule"], []).append(job)
    return [_row(rule, rules[rule]) for rule in sorted(rules)]


def text(rows: Sequence[Row]) -> str:
    """The table for a terminal, and the lines for the profile."""
    head = ("rule", "jobs", "memory asked, used (MB)", "time asked, used (min)", "cores asked, used")
    cells = [
        (
            row.rule,
            str(row.jobs),
            f"{_or_dash(row.asked_mem_mb)}, {row.used_mem_mb}",
            f"{_or_dash(row.asked_minutes)}, {row.used_minutes:.1f}",
            f"{row.asked_cores}, {row.cores_used:.1f}",
        )
        for row in rows
    ]
    return "\n".join([aligned(head, cells), "", *_lines(rows)])


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write the table."""
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)], delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in rows)


def _row(rule: str, jobs: Sequence[Mapping[str, Any]]) -> Row:
    memory = max(job["used"]["peak_memory_mb"] for job in jobs)
    longest = max(jobs, key=lambda job: job["used"]["seconds"])
    minutes = longest["used"]["seconds"] / 60
    seconds = sum(job["used"]["seconds"] for job in jobs)
    return Row(
        rule,
        len(jobs),
        _largest(jobs, "mem_mb"),
        math.ceil(memory),
        _up(MARGIN * memory + SNAKEMAKE_MB, 100),
        _largest(jobs, "runtime"),
        round(minutes, 2),
        _up(MARGIN * minutes + START_MINUTES, 5) if longest.get("turns", 1) == 1 else None,
        max(job["threads"] for job in jobs),
        round(sum(job["used"]["cpu_seconds"] for job in jobs) / max(seconds, 1e-9), 2),
    )


def _lines(rows: Sequence[Row]) -> list[str]:
    """What a user pastes: a later try asks for more, as the rules do."""
    timed = [row for row in rows if row.asked_minutes is not None and row.suggested_minutes is not None]
    asking = [row for row in rows if row.asked_mem_mb is not None or row in timed]
    if not asking:
        return []
    note = f"# largest use + {MARGIN - 1:.0%}, for data of this size; paste into the profile"
    lines = [note, "set-resources:"]
    for row in asking:
        lines.append(f"  {row.rule}:")
        lines += [f"    mem_mb: attempt * {row.suggested_mem_mb}"] * (row.asked_mem_mb is not None)
        if row in timed:
            lines.append(f"    runtime: attempt * {row.suggested_minutes}")
        elif row.suggested_minutes is None:
            lines.append("    # runtime as it is: the longest job ran in several turns")
    return lines


def _largest(jobs: Sequence[Mapping[str, Any]], name: str) -> int | None:
    asked = [job["asked"][name] for job in jobs if isinstance(job["asked"].get(name), int | float)]
    return int(max(asked)) if asked else None


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
