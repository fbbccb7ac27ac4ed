"""The Slurm allocation that a job runs in: its remaining time, and its requeue."""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import dataclass

from brainuad.cluster.job_queue import COMMENT_PREFIX
from brainuad.cluster.slurm_commands import SHORT_TIMEOUT_S, run_slurm, run_slurm_or_empty

SLURM_DURATION = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


@dataclass(frozen=True)
class Allocation:
    """A Slurm job and its time limit, as last queried."""

    job_id: str
    end_time: float | None = None
    """Time of the limit on the clock of `time.monotonic`; infinity without a limit, None while Slurm has not said."""

    def seconds_left(self) -> float:
        """Seconds until the limit; infinity where no limit is known."""
        return math.inf if self.end_time is None else self.end_time - time.monotonic()

    def refreshed(self) -> Allocation:
        """The same job with its limit queried again: an administrator may have changed it."""
        left = query_seconds_left(self.job_id)
        return self if left is None else Allocation(self.job_id, time.monotonic() + left)

    def restart_count(self) -> int:
        """How often the job was requeued; 0 if Slurm does not answer."""
        shown = run_slurm_or_empty("scontrol", "show", "job", self.job_id, timeout_s=SHORT_TIMEOUT_S)
        match = re.search(r"\bRestarts=(\d+)", shown)
        return int(match[1]) if match else 0

    def was_submitted_by_snakemake(self) -> bool:
        """Whether Snakemake made this job for one rule or group. Any other job is not ours to requeue.

        Raises SlurmCommandError if Slurm does not answer.
        """
        comment = run_slurm("squeue", "-h", "-j", self.job_id, "-o", "%k", timeout_s=SHORT_TIMEOUT_S)
        return comment.strip().startswith(COMMENT_PREFIX)

    def requeue(self) -> None:
        """Have Slurm kill the job and start it again. Raises SlurmCommandError if Slurm refuses."""
        run_slurm("scontrol", "requeue", self.job_id, timeout_s=SHORT_TIMEOUT_S)


def current_allocation() -> Allocation | None:
    """The allocation that this process runs in; None outside Slurm."""
    job_id = os.environ.get("SLURM_JOB_ID")
    return Allocation(job_id).refreshed() if job_id else None


def query_seconds_left(job_id: str) -> float | None:
    """Seconds until the job's limit; infinity without a limit, None if Slurm does not answer."""
    return parse_seconds(run_slurm_or_empty("squeue", "-h", "-j", job_id, "-o", "%L", timeout_s=SHORT_TIMEOUT_S))


def parse_seconds(duration: str) -> float | None:
    """Seconds of a duration as Slurm writes it: `7-00:00:00`, `30:00`, `infinite`, `UNLIMITED`; None for other text."""
    if duration.strip() in ("infinite", "UNLIMITED"):
        return math.inf
    match = SLURM_DURATION.fullmatch(duration.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
