"""Snakemake's Slurm executor with patience: a controller that is away for a while loses no job and hangs no run.

Why, and what it relies on: docs/decisions/0016-a-patient-executor.md.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo  # type: ignore[import-untyped]

from brainuad.cluster import queue
from brainuad.cluster.ask import SilentError, controller_is_up

FAILED = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "SPECIAL_EXIT")
UNSETTLED = ("NODE_FAIL", "PREEMPTED", "REVOKED", "")
"""States that a requeue may end; "" is a job that the controller does not know (any more)."""
SETTLED_AFTER = 60.0
"""Seconds after which such a state is believed."""
RETRY = 20
"""Seconds between questions to a controller that is away."""
SPEAK = 600.0
"""Seconds between two messages about it."""
SUBMIT = 6 * 3600.0
"""Seconds that a submission waits for the controller before the job counts as failed."""
SUBMITTERS = 8
"""Submissions under way at once. The plugin rests 5 s before each: with its own two, a minute would see 24."""


class Patience:
    """What one run remembers between two polls."""

    def __init__(self, warn: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self.warn, self.clock = warn, clock
        self.away_since: float | None = None
        self.spoken = -SPEAK
        self.doubtful: dict[str, float] = {}
        self.stopped = threading.Event()
        self.noted = False

    def away(self, why: str) -> None:
        """Note, and say now and then, that Slurm does not answer."""
        now = self.clock()
        self.away_since = now if self.away_since is None else self.away_since
        if now - self.spoken >= SPEAK:
            self.spoken = now
            waited = f" for {(now - self.away_since) / 60:.0f} min" if now - self.away_since >= 60 else ""
            self.warn(f"Slurm does not answer{waited} ({why}): jobs go on, and this run waits for it")

    def back(self) -> None:
        """Note that Slurm answers. Doubts start anew: it may have lost sight of jobs for a moment."""
        if self.away_since is not None:
            self.warn(f"Slurm answers again after {self.clock() - self.away_since:.0f} s")
            self.away_since, self.spoken = None, -SPEAK
            self.doubtful.clear()

    def verdict(self, number: str, state: str) -> str:
        """`runs`, `done`, `failed`, or `gone` for a job that Slurm no longer knows."""
        if state not in UNSETTLED:
            self.doubtful.pop(number, None)
            return "done" if state == "COMPLETED" else "failed" if state in FAILED else "runs"
        since = self.doubtful.setdefault(number, self.clock())
        if self.clock() - since < SETTLED_AFTER:
            return "runs"
        del self.doubtful[number]
        return "failed" if state else "gone"


async def check(executor: Any, patience: Patience, active: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
    """Ask Slurm about active jobs: reports those that ended, yields the others, and all if there is no answer."""
    if not active:
        return
    settings = executor.workflow.executor_settings
    try:
        states = await asyncio.to_thread(queue.states, executor.run_uuid, settings.status_command == "sacct")
        patience.back()
        ends = [await _end(executor, patience, info, states.get(str(info.external_jobid), "")) for info in active]
    except SilentError as error:
        patience.away(error.why or str(error))
        executor.next_seconds_between_status_checks = RETRY
        for info in active:
            yield info
        return
    pause = min(executor.next_seconds_between_status_checks + 10, 180)
    for info, (verdict, state) in zip(active, ends, strict=True):
        if verdict == "runs":
            yield info
            continue
        pause = settings.init_seconds_before_status_checks
        if verdict == "done":
            executor.report_job_success(info)
        else:
            log = (info.aux or {}).get("slurm_logfile")
            message = f"SLURM-job '{info.external_jobid}' failed, SLURM status is: '{state}'. "
            executor.report_job_error(info, msg=message, aux_logs=[str(log)] if log else [])
    executor.next_seconds_between_status_checks = min(pause, RETRY) if patience.doubtful else pause


async def _end(executor: Any, patience: Patience, info: SubmittedJobInfo, state: str) -> tuple[str, str]:
    """`runs`, `done` or `failed`, and the state; a job that a list lacks is asked about alone, then by its outputs."""
    number = str(info.external_jobid)
    verdict = patience.verdict(number, state)
    if verdict != "gone":
        return verdict, state
    state = await asyncio.to_thread(queue.state, number)
    if not state:
        return await _trace(executor.workflow.persistence, info.job)
    return "failed" if state in UNSETTLED else patience.verdict(number, state), state


def wait_for_controller(patience: Patience, limit: float = SUBMIT) -> None:
    """Return when the controller takes jobs, when the run is cancelled, or after `limit` seconds."""
    started = patience.clock()
    while not patience.stopped.is_set() and not controller_is_up() and patience.clock() - started < limit:
        patience.away("its controller is down")
        patience.stopped.wait(RETRY)


async def _trace(persistence: Any, job: Any) -> tuple[str, str]:
    """How a job ended that Slurm no longer knows: Snakemake in the job takes away the marks of unfinished outputs."""
    persistence.deactivate_cache()
    for each in _members(job):
        missing = [file for file in each.output if not await file.exists()]
        if missing or persistence.external_jobids(each) or await persistence.incomplete(each):
            return "failed", "UNKNOWN TO SLURM"
    return "done", ""


def _members(job: Any) -> Iterable[Any]:
    return job.jobs if job.is_group() else [job]


def install(warn: Callable[[str], object], ready: Callable[[Any], object]) -> None:
    """Give the Slurm plugin's executor patience, for this process. `ready` gets each job before it is submitted."""
    from snakemake_executor_plugin_slurm import Executor  # type: ignore[import-untyped]

    if hasattr(Executor, "patience"):
        return
    own = {name: getattr(Executor, name) for name in ("run_jobs", "run_job", "cancel_jobs")}
    patience, met = Patience(warn), list[Any]()

    async def check_active_jobs(self: Any, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        async for info in check(self, patience, active_jobs):
            yield info

    def run_jobs(self: Any, jobs: list[Any]) -> None:
        if self not in met:
            met.append(self)
            self._job_submission_executor = ThreadPoolExecutor(SUBMITTERS, thread_name_prefix="slurm_job_submit")
            self._fallback_account_arg = ""  # Slurm's own default: the plugin's guess always fails, with three warnings
        own["run_jobs"](self, jobs)

    def run_job(self: Any, job: Any) -> None:
        try:
            wait_for_controller(patience)
            if patience.stopped.is_set():
                return
            if not patience.noted:
                patience.noted = True
                queue.note(self.run_uuid, Path.cwd())
            ready(job)
            own["run_job"](self, job)
        except Exception as error:  # a thread of the plugin would swallow it, and the run would wait for ever
            self.report_job_error(SubmittedJobInfo(job), msg=f"SLURM job submission failed. {error}")

    def cancel_jobs(self: Any, active_jobs: list[SubmittedJobInfo]) -> None:
        patience.stopped.set()
        # What is being submitted would be in the queue after the last look at it, and nobody would wait for it.
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        own["cancel_jobs"](self, active_jobs)
        queue.cancel(self.run_uuid)

    for function in (check_active_jobs, run_jobs, run_job, cancel_jobs):
        setattr(Executor, function.__name__, function)
    Executor.patience = patience
