"""How often Snakemake's scheduler turns while jobs wait."""

from __future__ import annotations

import threading
from typing import Any

JOBS_A_SECOND = 20
"""Jobs of a run for each second between two turns: 100 jobs turn every 10 s at most, 1,000 every 50 s."""
UNLIMITED = 10_000
"""Submissions in one span that are no limit. A smaller number is one that somebody set, and is left alone."""


def spare_scheduler(workflow: Any) -> None:
    """Lengthen the span of `max-jobs-per-timespan` in a run of many jobs.

    Each turn of the scheduler starts another one a span later while jobs wait, and each finished job adds one, so that
    turns grow with the square of the jobs (docs/decisions/0016-slurm-executor.md). With a span that grows with the jobs
    they grow with their number.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit is not None and limit.max_jobs >= UNLIMITED:
        limit.timespan = max(limit.timespan, len(list(workflow.dag.needrun_jobs())) / JOBS_A_SECOND)


def cancel_turns() -> None:
    """Cancel what is left of these turns at the end of a run, for Python waits for them: up to a span."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and "_schedule_reevalutation" in thread.function.__qualname__:
            thread.cancel()
