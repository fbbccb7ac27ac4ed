"""What a job knows of its own Slurm allocation: the time that is left, and how to be started again."""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import dataclass

from brainuad.cluster.ask import MARK, SHORT, ask, told

LENGTH = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


@dataclass(frozen=True)
class Allocation:
    """One job of Slurm, as it was when it was asked about. Times are those of `time.monotonic`."""

    job: str
    ends: float | None = None
    """When Slurm ends the job; infinity if it has no limit, none as long as Slurm does not say."""

    def left(self) -> float:
        """Seconds until the limit, by our own clock; infinity where none is known."""
        return math.inf if self.ends is None else self.ends - time.monotonic()

    def again(self) -> Allocation:
        """The same job asked about anew: an administrator may have moved its limit, or Slurm was busy before."""
        found = time_left(self.job)
        return self if found is None else Allocation(self.job, time.monotonic() + found)

    def restarts(self) -> int:
        """How often the job was requeued, as far as Slurm says so."""
        found = re.search(r"\bRestarts=(\d+)", told("scontrol", "show", "job", self.job, seconds=SHORT))
        return int(found[1]) if found else 0

    def is_ours(self) -> bool:
        """Whether Snakemake made this job for one rule or group: another may hold much that is not ours to start again.

        Raises SilentError if Slurm does not say.
        """
        return ask("squeue", "-h", "-j", self.job, "-o", "%k", seconds=SHORT).strip().startswith(MARK)

    def requeue(self) -> None:
        """Have Slurm kill the job and start it again. Raises SilentError if it refuses."""
        ask("scontrol", "requeue", self.job, seconds=SHORT)


def here() -> Allocation | None:
    """The allocation that this process runs in; none outside Slurm."""
    job = os.environ.get("SLURM_JOB_ID")
    return Allocation(job).again() if job else None


def time_left(job: str) -> float | None:
    """Seconds until the job's limit, infinity without one; none if Slurm does not say."""
    return seconds(told("squeue", "-h", "-j", job, "-o", "%L", seconds=SHORT))


def seconds(length: str) -> float | None:
    """Seconds of a time as Slurm writes it: `7-00:00:00`, `30:00`, `infinite` or `UNLIMITED`; none of another text."""
    if length.strip() in ("infinite", "UNLIMITED"):
        return math.inf
    parts = LENGTH.fullmatch(length.strip())
    if parts is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in parts.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
