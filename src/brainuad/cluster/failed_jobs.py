"""The jobs of a run that failed for good, as a table: how each ended, and the remedy."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from brainuad.cluster.job_outcome import (
    READ_LOG,
    JobOutcome,
    error_lines,
    outcome_from_message,
    outcome_from_sacct,
    outcome_from_scontrol,
    suggest_remedy,
)
from brainuad.cluster.slurm_commands import SHORT_TIMEOUT_S, run_slurm_or_empty
from brainuad.formats.files import atomic
from brainuad.terminal import aligned

FILE_NAME = "failed_jobs.tsv"
MAX_LINES, MAX_LINE_LENGTH = 5, 200
"""Of a log, as shown in the table."""
TAIL_BYTES = 20_000
"""Of a log that are read."""
MAX_SHOWN = 20


@dataclass(frozen=True)
class FailedJob:
    """A row of the table. `slurm_job` and `state` are empty for a job that ran without Slurm."""

    rule: str
    wildcards: str
    slurm_job: str
    state: str
    attempts: int
    remedy: str
    log: str
    """Path of the log that `last_lines` are taken from."""
    last_lines: str
    """Separated by ` | `."""

    @property
    def reason(self) -> str:
        """What ended it and what to do, in one sentence."""
        last = self.last_lines.rpartition(" | ")[2]
        return f"{last}: {self.remedy}" if last and self.remedy.startswith(READ_LOG) else self.remedy


@dataclass
class _StartedJob:
    rule: str
    wildcards: str
    requested: Mapping[str, Any]
    attempts: int = 0
    group: tuple[str, tuple[str, ...]] | None = None
    """Slurm's job id and logs of the group that it ran in."""


class FailureRecorder:
    """Follows the jobs of one run by their Snakemake job ids."""

    def __init__(self) -> None:
        self.jobs: dict[int, _StartedJob] = {}
        self.failures: dict[int, FailedJob] = {}

    def record_start(self, jobid: int, rule: str, wildcards: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
        """Record a job's start, or its next attempt. `requested`: its resources."""
        shown = " ".join(f"{name}={value}" for name, value in wildcards.items())
        attempts = self.jobs[jobid].attempts if jobid in self.jobs else 0
        self.jobs[jobid] = _StartedJob(rule, shown, dict(requested), attempts)

    def record_group(self, jobids: Sequence[int], slurm_job: str, logs: Sequence[str]) -> None:
        """Record that these jobs, whose failures follow, ran as one Slurm job."""
        for jobid in jobids:
            self.jobs.setdefault(jobid, _StartedJob("", "", {})).group = (slurm_job, tuple(logs))

    def record_failure(
        self, jobid: int, rule: str, logs: Sequence[str], slurm_job: str = "", message: str = ""
    ) -> None:
        """Record a failure. Slurm is queried at once, for it soon forgets. `logs`: the rule's, then Slurm's."""
        job = self.jobs.setdefault(jobid, _StartedJob(rule, "", {}))
        job.attempts += 1
        if job.group:
            slurm_job, logs = job.group[0], [*logs, *job.group[1]]
        texts = {_relative(path): read_tail(Path(path)) for path in logs}
        outcome = (query_outcome(slurm_job) if slurm_job else None) or outcome_from_message(message) or JobOutcome()
        path = next((path for path, text in texts.items() if text.strip()), "")
        remedy = suggest_remedy(rule, outcome, job.requested, "\n".join(texts.values()), message)
        if job.group and path in map(_relative, job.group[1]):
            remedy = f"a job of its group failed: {remedy}"
        text = texts.get(path, "")
        lines = error_lines(text) if slurm_job and path == next(reversed(texts), "") else text.splitlines()
        lines = [line.strip()[:MAX_LINE_LENGTH] for line in lines if line.strip()][-MAX_LINES:]
        self.failures[jobid] = FailedJob(
            rule, job.wildcards, slurm_job, str(outcome), job.attempts, remedy, path, " | ".join(lines)
        )

    def record_success(self, jobid: int) -> None:
        """Record that a job is done, whatever earlier attempts did."""
        self.failures.pop(jobid, None)
        self.jobs.pop(jobid, None)

    def table(self) -> list[FailedJob]:
        """The failed jobs, sorted by rule and wildcards."""
        return sorted(self.failures.values(), key=lambda job: (job.rule, job.wildcards))


def format_table(jobs: Sequence[FailedJob], file: Path | None) -> str:
    """The table for a terminal, cut after `MAX_SHOWN` jobs. `file`: where the whole table is."""
    count = "1 job failed" if len(jobs) == 1 else f"{len(jobs)} jobs failed"
    headings = ("rule", "wildcards", "Slurm job", "state", "attempts")
    cells = [
        (job.rule, job.wildcards, job.slurm_job or "-", job.state or "-", str(job.attempts)) for job in jobs[:MAX_SHOWN]
    ]
    lines = aligned(headings, cells).splitlines()
    shown = [f"\n{count}" + (f"; the whole table is {file}" if file else ""), "", lines[0]]
    for job, line in zip(jobs, lines[1:], strict=False):
        shown += [line, *(f"    {text}" for text in job.last_lines.split(" | ") if text), f"    do: {job.remedy}"]
        shown += [f"    log: {job.log}"] * bool(job.log)
    return "\n".join(shown + [f"and {len(jobs) - MAX_SHOWN} more"] * (len(jobs) > MAX_SHOWN))


def write_table(folder: Path, jobs: Sequence[FailedJob]) -> Path | None:
    """Write the table into a study's folder and return its path; remove an earlier table if no job failed."""
    path = folder / FILE_NAME
    if not jobs:
        path.unlink(missing_ok=True)
        return None
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(FailedJob)], delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows({key: _one_line(value) for key, value in asdict(job).items()} for job in jobs)
    return path


def query_outcome(slurm_job: str) -> JobOutcome | None:
    """How a Slurm job ended, from the controller or else from accounting; None if neither knows it."""
    controller = run_slurm_or_empty("scontrol", "show", "job", slurm_job, timeout_s=SHORT_TIMEOUT_S)
    if outcome := outcome_from_scontrol(controller):
        return outcome
    fields = ("-X", "-P", "-n", "-o", "State,ExitCode")
    return outcome_from_sacct(run_slurm_or_empty("sacct", *fields, "-j", slurm_job, timeout_s=SHORT_TIMEOUT_S))


def read_tail(path: Path) -> str:
    """The end of a log; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").replace("\r", "\n")
    except OSError:
        return ""


def _relative(path: str) -> str:
    """A path relative to the working directory, if it is below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value
