"""The user's jobs in Slurm's queue."""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from brainuad.cluster.ask import MARK, SilentError, ask
from brainuad.errors import InputError

FORMAT = "--format=%i|%T|%j|%k|%Z"
SHOWN = 10
NOTES = Path(".snakemake/slurm_runs")
"""Under a working directory: a file for each run that submits jobs, with the host and number of its process."""


@dataclass(frozen=True)
class Job:
    """A job that waits or runs."""

    number: str
    state: str
    about: str


def left_here(folder: Path) -> list[Job]:
    """Jobs that a start of Snakemake in this folder has put into the queue, and that nobody waits for.

    A requeued job waits or runs again, a suspended or held one may still do so: all of them may write. Those of a
    run that goes on beside this one are guarded by Snakemake's own locks. Raises SilentError if Slurm does not answer.
    """
    found = []
    for line in ask("squeue", "--me", "--all", "--noheader", FORMAT).splitlines():
        fields = line.strip().split("|", 4)
        if len(fields) < 5:  # a comment of several lines, not one of ours
            continue
        number, state, run, about, place = fields
        ours = about.startswith(MARK) and Path(place).resolve() == folder.resolve()
        if ours and not _goes_on(folder / NOTES / run):
            found.append(Job(number, state, about.replace("_wildcards_", " ")))
    return found


def note(run: str, folder: Path) -> None:
    """Write down that this process waits for the jobs of a run."""
    notes = folder / NOTES
    notes.mkdir(parents=True, exist_ok=True)
    for old in notes.iterdir():
        host, _ = _process(old)
        if host == socket.gethostname() and not _goes_on(old):
            old.unlink(missing_ok=True)
    (notes / run).write_text(f"{socket.gethostname()} {os.getpid()}\n", encoding="utf-8")


def _goes_on(path: Path) -> bool:
    """Whether the Snakemake of a run is a living process of this host: of another host it cannot be told."""
    host, number = _process(path)
    try:
        return host == socket.gethostname() and b"snakemake" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


def _process(path: Path) -> tuple[str, str]:
    try:
        host, number = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "", ""
    return host, number


def refuse(jobs: list[Job]) -> None:
    """Raises InputError if there are any: a second job for a file would write into the first one's."""
    if not jobs:
        return
    numbers = " ".join(job.number for job in jobs)
    listed = "".join(f"\n        {job.number} {job.state.lower()} {job.about}" for job in jobs[:SHOWN])
    more = f"\n        and {len(jobs) - SHOWN} more" if len(jobs) > SHOWN else ""
    raise InputError(
        f"{len(jobs)} job{'s' * (len(jobs) > 1)} of an earlier start in this folder still wait or run",
        why=f"a second job for the same file would write into it{listed}{more}",
        do=f"wait until they are gone from `squeue --me` (what they finish counts), or type: scancel {numbers}",
    )


def states(run: str, accounts: bool) -> dict[str, str]:
    """State of each job of a run that Slurm knows, ended ones too: by `sacct` or `squeue`. Raises SilentError."""
    if accounts:
        said = ask("sacct", "-X", "-n", "-P", "-o", "JobIDRaw,State", "--starttime", "now-7days", f"--name={run}")
    else:
        said = ask("squeue", "--all", "--states=all", "--noheader", f"--name={run}", "--format=%i|%T")
    parts = [line.strip().partition("|") for line in said.splitlines()]
    return {number: state.split()[0] for number, _, state in parts if state}  # CANCELLED by 1000


def state(number: str) -> str:
    """State of one job, nothing if the controller says that it does not know it. Raises SilentError."""
    try:
        said = ask("scontrol", "-o", "show", "job", number)
    except SilentError as error:
        if "Invalid job id" in (error.why or ""):
            return ""
        raise
    found = re.search(r"\bJobState=(\w+)", said)
    return found[1] if found else ""


def cancel(run: str) -> None:
    """`scancel` what a run has in the queue. Raises SilentError."""
    ask("scancel", f"--user={getpass.getuser()}", f"--name={run}")
