"""What a job knows of its own Slurm allocation: the time that is left, and how to be started again."""

from __future__ import annotations

import math
import os
import re
import subprocess
import time
from dataclasses import dataclass

LENGTH = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
PATIENCE = 20.0
"""Seconds that Slurm may take to answer."""


@dataclass(frozen=True)
class Allocation:
    """One job of Slurm, as it was when it was asked about. Times are those of `time.monotonic`."""

    job: str
    ends: float
    """When Slurm ends the job; infinity if it has no limit or Slurm did not answer."""
    restarts: int = 0
    """How often the job was requeued."""

    def left(self) -> float:
        """Seconds until the limit, by our own clock."""
        return self.ends - time.monotonic()

    def again(self) -> Allocation:
        """The same job asked about anew, for an administrator may have moved its limit."""
        found = time_left(self.job)
        return self if found is None else Allocation(self.job, time.monotonic() + found, self.restarts)

    def requeue(self) -> str:
        """Have Slurm kill the job and start it again; what Slurm said if it refuses, else nothing."""
        try:
            done = _ask("scontrol", "requeue", self.job)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.strip() or f"scontrol ended with {done.returncode}"


def here() -> Allocation | None:
    """The allocation that this process runs in; none outside Slurm."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return None
    found = time_left(job)
    return Allocation(job, math.inf if found is None else time.monotonic() + found, _restarts(job))


def time_left(job: str) -> float | None:
    """Seconds until the job's limit, infinity without one; none if Slurm does not say."""
    said = _said("squeue", "-h", "-j", job, "-o", "%L")
    if said == "UNLIMITED":
        return math.inf
    parts = LENGTH.fullmatch(said)
    if parts is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _restarts(job: str) -> int:
    found = re.search(r"\bRestarts=(\d+)", _said("scontrol", "show", "job", job))
    return int(found[1]) if found else 0


def _said(*command: str) -> str:
    try:
        done = _ask(*command)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
