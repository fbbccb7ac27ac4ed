"""Snakemake's Slurm executor with patience: a controller that is away for a while loses no job and hangs no run.

Why, and what it relies on: docs/decisions/0016-a-patient-executor.md.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
LIST, CONTROLLER = "Slurm", "Slurm's controller"
SUBMITTERS = 8
"""Submissions under way at once. The plugin rests 5 s before each: with its own two, a minute would see 24."""


@dataclass
class Silence:
    """Since when somebody does not answer, and when that was said last."""

    since: float
    spoken: float = -SPEAK


class Patience:
    """What one run remembers between two polls."""

    def __init__(self, warn: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self.warn, self.clock = warn, clock
        self.silent: dict[str, Silence] = {}
        self.doubtful: dict[str, float] = {}
        self.stopped = threading.Event()

    def away(self, who: str, why: str) -> None:
        """Note, and say now and then, that `who` does not answer: accounts may do so while the controller is away."""
        now = self.clock()
        silence = self.silent.setdefault(who, Silence(now))
        if now - silence.spoken >= SPEAK:
            silence.spoken = now
            waited = f" for {(now - silence.since) / 60:.0f} min" if now - silence.since >= 60 else ""
            self.warn(f"{who} does not answer{waited} ({why}): jobs go on, and this run waits for it")

    def back(self, who: str) -> None:
        """Note that it answers."""
        silence = self.silent.pop(who, None)
        if silence is not None:
            self.warn(f"{who} answers again after {self.clock() - silence.since:.0f} s")

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
        if LIST in patience.silent:
            patience.doubtful.clear()  # Slurm may have lost sight of jobs for a moment
        patience.back(LIST)
    except SilentError as error:
        patience.away(LIST, error.why or str(error))
        executor.next_seconds_between_status_checks = RETRY
        for info in active:
            yield info
        return
    pause = min(executor.next_seconds_between_status_checks + 10, 180)
    for info in active:
        verdict, state = await _end(executor, patience, info, states.get(str(info.external_jobid), ""))
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
    try:
        state = await asyncio.to_thread(queue.state, number)
    except SilentError:  # accounts answer, the controller does not: this job alone stays in doubt
        return "runs", state
    if not state:
        return await _trace(executor.workflow.persistence, info.job)
    return "failed" if state in UNSETTLED else patience.verdict(number, state), state


def wait_for_controller(patience: Patience, limit: float = SUBMIT) -> None:
    """Return when the controller takes jobs, when the run is cancelled, or after `limit` seconds."""
    started = patience.clock()
    while not patience.stopped.is_set() and patience.clock() - started < limit:
        if controller_is_up():
            patience.back(CONTROLLER)
            return
        patience.away(CONTROLLER, "it is down")
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


def install(workflow: Any, warn: Callable[[str], object], ready: Callable[[Any], object]) -> None:
    """Give the Slurm plugin's executor of this run patience. `ready` gets each job before it is submitted."""
    executor = workflow.scheduler._executor
    executor._job_submission_executor = ThreadPoolExecutor(SUBMITTERS, thread_name_prefix="slurm_job_submit")
    executor._fallback_account_arg = ""  # Slurm's own default: the plugin's guess always fails, with three warnings
    submit, patience = executor.run_job, Patience(warn)
    queue.note(executor.run_uuid, Path.cwd())

    async def check_active_jobs(active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        async for info in check(executor, patience, active_jobs):
            yield info

    def run_job(job: Any) -> None:
        try:
            wait_for_controller(patience)
            if patience.stopped.is_set():
                return
            ready(job)
            submit(job)
        except Exception as error:  # a thread of the plugin would swallow it, and the run would wait for ever
            executor.report_job_error(SubmittedJobInfo(job), msg=f"SLURM job submission failed. {error}")

    def cancel_jobs(active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG001 - some are not among them
        patience.stopped.set()
        # What is being submitted would be in the queue after the last look at it, and nobody would wait for it.
        executor._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        try:
            queue.cancel(executor.run_uuid)
        except SilentError as error:
            warn(f"{error.why}: jobs of this run may be left in the queue, see `squeue --me`")

    executor.check_active_jobs, executor.run_job, executor.cancel_jobs = check_active_jobs, run_job, cancel_jobs
