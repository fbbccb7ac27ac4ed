"""The jobs of a run that failed for good, as a table: what each was, how it ended, and what to change."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from brainuad.cluster.ask import SHORT, told
from brainuad.cluster.outcome import Outcome, advice, from_message, from_sacct, from_scontrol, telling
from brainuad.formats.files import atomic
from brainuad.terminal import aligned

NAME = "failed_jobs.tsv"
LINES, WIDTH, TAIL = 5, 200, 20_000
"""Lines of a log that are kept, characters of each, and bytes of a log that are read."""
SHOWN = 20


@dataclass(frozen=True)
class Row:
    """A failed job. `slurm_job` and `state` are empty for one that ran here."""

    rule: str
    wildcards: str
    slurm_job: str
    state: str
    tries: int
    do: str
    log: str
    """Path of the log that `last_lines` are of; these are separated by ` | `."""
    last_lines: str


@dataclass
class _Job:
    rule: str
    wildcards: str
    asked: Mapping[str, Any]
    tries: int = 0
    group: tuple[str, tuple[str, ...]] | None = None
    """Slurm's id and log of the group that it ran in."""


class Failed:
    """Follows the jobs of one run by Snakemake's numbers."""

    def __init__(self) -> None:
        self.jobs: dict[int, _Job] = {}
        self.rows: dict[int, Row] = {}

    def started(self, number: int, rule: str, wildcards: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """Note a job, or its next try."""
        shown = " ".join(f"{name}={value}" for name, value in wildcards.items())
        tries = self.jobs[number].tries if number in self.jobs else 0
        self.jobs[number] = _Job(rule, shown, dict(asked), tries)

    def grouped(self, numbers: Sequence[int], slurm_job: str, logs: Sequence[str]) -> None:
        """Note that these jobs, whose failures follow, ran as one job of Slurm."""
        for number in numbers:
            self.jobs.setdefault(number, _Job("", "", {})).group = (slurm_job, tuple(logs))

    def failed(self, number: int, rule: str, logs: Sequence[str], slurm_job: str = "", message: str = "") -> None:
        """Note a failure. It is asked about at once, for Slurm soon forgets. `logs`: the rule's, then Slurm's."""
        job = self.jobs.setdefault(number, _Job(rule, "", {}))
        job.tries += 1
        if job.group:
            slurm_job, logs = job.group[0], [*logs, *job.group[1]]
        texts = {_short(path): tail(Path(path)) for path in logs}
        outcome = (ask(slurm_job) if slurm_job else None) or from_message(message) or Outcome()
        path = next((path for path, text in texts.items() if text.strip()), "")
        do = advice(rule, outcome, job.asked, "\n".join(texts.values()), message)
        if job.group and path in map(_short, job.group[1]):
            do = f"a job of its group failed: {do}"
        said = texts.get(path, "")
        lines = telling(said) if slurm_job and path == next(reversed(texts), "") else said.splitlines()
        lines = [line.strip()[:WIDTH] for line in lines if line.strip()][-LINES:]
        self.rows[number] = Row(rule, job.wildcards, slurm_job, str(outcome), job.tries, do, path, " | ".join(lines))

    def finished(self, number: int) -> None:
        """Note that a job is done, at whatever try."""
        self.rows.pop(number, None)
        self.jobs.pop(number, None)

    def table(self) -> list[Row]:
        """The failed jobs, by rule and wildcards."""
        return sorted(self.rows.values(), key=lambda row: (row.rule, row.wildcards))


def text(rows: Sequence[Row], file: Path | None) -> str:
    """The table for a terminal; the first ones of many."""
    count = "1 job failed" if len(rows) == 1 else f"{len(rows)} jobs failed"
    head = ("rule", "wildcards", "Slurm job", "state", "tries")
    cells = [(row.rule, row.wildcards, row.slurm_job or "-", row.state or "-", str(row.tries)) for row in rows[:SHOWN]]
    lines = aligned(head, cells).splitlines()
    shown = [f"\n{count}" + (f"; the whole table is {file}" if file else ""), "", lines[0]]
    for row, line in zip(rows, lines[1:], strict=False):
        shown += [line, *(f"    {said}" for said in row.last_lines.split(" | ") if said), f"    do: {row.do}"]
        shown += [f"    log: {row.log}"] * bool(row.log)
    return "\n".join(shown + [f"and {len(rows) - SHOWN} more"] * (len(rows) > SHOWN))


def write(folder: Path, rows: Sequence[Row]) -> Path | None:
    """Write the table into a study's folder, or take away an earlier one where no job failed; returns its path."""
    path = folder / NAME
    if not rows:
        path.unlink(missing_ok=True)
        return None
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Row)], delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows({key: _cell(value) for key, value in asdict(row).items()} for row in rows)
    return path


def ask(slurm_job: str) -> Outcome | None:
    """How a job ended, by the controller, or by accounting where there is such; none if neither knows it."""
    return from_scontrol(told("scontrol", "show", "job", slurm_job, seconds=SHORT)) or from_sacct(
        told("sacct", "-X", "-P", "-n", "-o", "State,ExitCode", "-j", slurm_job, seconds=SHORT)
    )


def tail(path: Path) -> str:
    """The end of a log; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode("utf-8", errors="replace").replace("\r", "\n")
    except OSError:
        return ""


def _short(path: str) -> str:
    """A path as seen from here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _cell(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value
