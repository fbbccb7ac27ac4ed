"""The user's jobs in Slurm's queue."""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from brainuad.cluster.slurm_commands import SlurmCommandError, run_slurm
from brainuad.errors import InputError

COMMENT_PREFIX = "rule_"
"""Start of the comments that Snakemake's Slurm plugin gives its jobs, groups included."""
SQUEUE_FORMAT = "--format=%i|%T|%j|%k|%Z"
MAX_LISTED = 10
RUNS_FOLDER = Path(".snakemake/slurm_runs")
"""Under a working directory: one file per run that submits jobs, with the host and process id of its Snakemake."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits or runs."""

    job_id: str
    state: str
    rule_and_wildcards: str


def jobs_of_earlier_runs(folder: Path) -> list[QueuedJob]:
    """Queued jobs that a Snakemake in this folder has submitted and that no living Snakemake waits for.

    Requeued, suspended and held jobs count: all of them may write again. Jobs of another run that is still alive are
    left out, for Snakemake's own locks guard their files. Raises SlurmCommandError if Slurm does not answer.
    """
    jobs = []
    for line in run_slurm("squeue", "--me", "--all", "--noheader", SQUEUE_FORMAT).splitlines():
        fields = line.strip().split("|", 4)
        if len(fields) < 5:  # a comment of several lines, not one of ours
            continue
        job_id, state, run_id, comment, workdir = fields
        from_here = comment.startswith(COMMENT_PREFIX) and Path(workdir).resolve() == folder.resolve()
        if from_here and not _run_is_alive(folder / RUNS_FOLDER / run_id):
            jobs.append(QueuedJob(job_id, state, comment.replace("_wildcards_", " ")))
    return jobs


def record_run(run_id: str, folder: Path) -> None:
    """Record that this process waits for the jobs of a run; remove the records of dead processes."""
    records = folder / RUNS_FOLDER
    records.mkdir(parents=True, exist_ok=True)
    for path in records.iterdir():
        host, _ = _read_record(path)
        if host == socket.gethostname() and not _run_is_alive(path):
            path.unlink(missing_ok=True)
    (records / run_id).write_text(f"{socket.gethostname()} {os.getpid()}\n", encoding="utf-8")


def _run_is_alive(record: Path) -> bool:
    """Whether the Snakemake of a run is a living process of this host; False for a process of another host."""
    host, process_id = _read_record(record)
    try:
        return host == socket.gethostname() and b"snakemake" in Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return False


def _read_record(path: Path) -> tuple[str, str]:
    """Host and process id; two empty strings if the record cannot be read."""
    try:
        host, process_id = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "", ""
    return host, process_id


def refuse_earlier_jobs(jobs: list[QueuedJob]) -> None:
    """Raise InputError if there are any jobs: a second job for a file would write into the first one's output."""
    if not jobs:
        return
    job_ids = " ".join(job.job_id for job in jobs)
    listed = "".join(
        f"\n        {job.job_id} {job.state.lower()} {job.rule_and_wildcards}" for job in jobs[:MAX_LISTED]
    )
    more = f"\n        and {len(jobs) - MAX_LISTED} more" if len(jobs) > MAX_LISTED else ""
    raise InputError(
        f"{len(jobs)} job{'s' * (len(jobs) > 1)} of an earlier start in this folder still wait or run",
        why=f"a second job for the same file would write into it{listed}{more}",
        do=f"wait until they are gone from `squeue --me` (what they finish counts), or type: scancel {job_ids}",
    )


def query_job_states(run_id: str, use_accounting: bool) -> dict[str, str]:
    """State of each job of a run by job id, ended jobs included; from `sacct` or `squeue`. Raises SlurmCommandError."""
    if use_accounting:
        shown = run_slurm(
            "sacct", "-X", "-n", "-P", "-o", "JobIDRaw,State", "--starttime", "now-7days", f"--name={run_id}"
        )
    else:
        shown = run_slurm("squeue", "--all", "--states=all", "--noheader", f"--name={run_id}", "--format=%i|%T")
    parts = [line.strip().partition("|") for line in shown.splitlines()]
    return {job_id: state.split()[0] for job_id, _, state in parts if state}  # CANCELLED by 1000


def query_job_state(job_id: str) -> str:
    """State of one job; empty if the controller does not know it. Raises SlurmCommandError."""
    try:
        shown = run_slurm("scontrol", "-o", "show", "job", job_id)
    except SlurmCommandError as error:
        if "Invalid job id" in (error.why or ""):
            return ""
        raise
    match = re.search(r"\bJobState=(\w+)", shown)
    return match[1] if match else ""


def cancel_run(run_id: str) -> None:
    """`scancel` all queued jobs of a run. Raises SlurmCommandError."""
    run_slurm("scancel", f"--user={getpass.getuser()}", f"--name={run_id}")
