"""Status of a run's Slurm jobs, across restarts of Slurm's controller and of its accounting database.

Reasons: docs/decisions/0016-slurm-executor.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from brainuad.cluster.slurm_commands import controller_is_up

FAILED_STATES = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "SPECIAL_EXIT")
UNKNOWN_STATE = ""
"""Of a job that Slurm does not list."""
TRANSIENT_STATES = ("NODE_FAIL", "PREEMPTED", "REVOKED", UNKNOWN_STATE)
"""States that a requeue may end."""
TRANSIENT_SECONDS = 60.0
"""After so long such a state is final."""
OUTAGE_POLL_SECONDS = 20
"""Between two queries while Slurm does not answer."""
OUTAGE_REPORT_SECONDS = 600.0
"""Between two messages about one outage."""
SUBMISSION_TIMEOUT_SECONDS = 6 * 3600.0
"""For how long a submission waits for the controller."""
JOB_LIST, CONTROLLER = "Slurm", "Slurm's controller"
"""What may be out: the command that lists jobs (which may be `sacct`), and the controller."""


class JobStatus(StrEnum):
    """Status of a job, from Slurm's state."""

    RUNNING = "running"
    """It waits or runs, or its state may still change."""
    DONE = "done"
    FAILED = "failed"
    FORGOTTEN = "forgotten"
    """Slurm has not listed it for a while."""


@dataclass
class Outage:
    """Since when a service does not answer, and when that was reported last."""

    since: float
    reported: float = -OUTAGE_REPORT_SECONDS


class StatusTracker:
    """Outages and jobs in transient states, remembered from one poll of a run to the next."""

    def __init__(self, warn: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self.warn, self.clock = warn, clock
        self.outages: dict[str, Outage] = {}
        self.transient_since: dict[str, float] = {}
        self.cancelled = threading.Event()

    def record_outage(self, service: str, reason: str) -> None:
        """Record that a service does not answer; warn at once and then every ten minutes."""
        now = self.clock()
        outage = self.outages.setdefault(service, Outage(now))
        if now - outage.reported >= OUTAGE_REPORT_SECONDS:
            outage.reported = now
            duration = f" for {(now - outage.since) / 60:.0f} min" if now - outage.since >= 60 else ""
            self.warn(f"{service} does not answer{duration} ({reason}): jobs go on, and this run waits for it")

    def record_answer(self, service: str) -> None:
        """Record that a service answers; report the end of its outage."""
        outage = self.outages.pop(service, None)
        if outage is not None:
            self.warn(f"{service} answers again after {self.clock() - outage.since:.0f} s")

    def record_job_list(self) -> None:
        """Record that jobs could be listed. After an outage Slurm may still miss some: their time starts anew."""
        if JOB_LIST in self.outages:
            self.transient_since.clear()
        self.record_answer(JOB_LIST)

    def classify(self, job_id: str, state: str) -> JobStatus:
        """Status of a job whose Slurm state was listed as `state`, `UNKNOWN_STATE` if it was not listed."""
        if state not in TRANSIENT_STATES:
            self.transient_since.pop(job_id, None)
            if state == "COMPLETED":
                return JobStatus.DONE
            return JobStatus.FAILED if state in FAILED_STATES else JobStatus.RUNNING
        since = self.transient_since.setdefault(job_id, self.clock())
        if self.clock() - since < TRANSIENT_SECONDS:
            return JobStatus.RUNNING
        del self.transient_since[job_id]
        return JobStatus.FAILED if state else JobStatus.FORGOTTEN

    def wait_for_controller(self, timeout_s: float = SUBMISSION_TIMEOUT_SECONDS) -> None:
        """Return when the controller answers, when the run is cancelled, or after `timeout_s` seconds."""
        started = self.clock()
        while not self.cancelled.is_set() and self.clock() - started < timeout_s:
            if controller_is_up():
                self.record_answer(CONTROLLER)
                return
            self.record_outage(CONTROLLER, "it is down")
            self.cancelled.wait(OUTAGE_POLL_SECONDS)


async def outputs_are_complete(persistence: Any, job: Any) -> bool:
    """Whether a job that Slurm has forgotten has written its outputs, by Snakemake's own records.

    Snakemake in the job removes the marks of unfinished outputs at the end.
    """
    persistence.deactivate_cache()
    for each in _members(job):
        missing = [file for file in each.output if not await file.exists()]
        if missing or persistence.external_jobids(each) or await persistence.incomplete(each):
            return False
    return True


def _members(job: Any) -> Iterable[Any]:
    return job.jobs if job.is_group() else [job]
