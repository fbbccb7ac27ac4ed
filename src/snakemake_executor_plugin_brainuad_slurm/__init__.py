"""Snakemake executor `brainuad-slurm`: the Slurm executor, able to wait while Slurm's controller is down.

Chosen by `executor: brainuad-slurm` in profiles/slurm. Jobs within an allocation run with the plugin's own job-step
executor (`slurm-jobstep`). Reasons: docs/decisions/0016-slurm-executor.md.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from snakemake.iocontainers import ResourceList
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings as SlurmExecutorSettings
from snakemake_executor_plugin_slurm import common_settings
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from brainuad.cluster.job_queue import cancel_run, query_job_state, query_job_states, record_run
from brainuad.cluster.job_status import (
    JOB_LIST,
    OUTAGE_POLL_SECONDS,
    TRANSIENT_STATES,
    JobStatus,
    StatusTracker,
    outputs_are_complete,
)
from brainuad.cluster.preflight import limited_resources
from brainuad.cluster.site import Partition, query_partitions
from brainuad.cluster.slurm_commands import SlurmCommandError

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

SUBMISSION_THREADS = 8
"""The Slurm plugin rests 5 s before each `sbatch`: 8 threads submit 96 jobs a minute, its own 2 threads 24."""
MAX_POLL_SECONDS = 180
POLL_INCREMENT_SECONDS = 10
CLUSTER_RESOURCES = ("cluster", "clusters", "slurm_cluster")


@dataclass
class ExecutorSettings(SlurmExecutorSettings):
    """Settings of the Slurm plugin, under the prefix `brainuad-slurm-`. Snakemake reads the types of the fields."""

    status_command: str = field(
        default="squeue",
        metadata={
            "help": "Command to query job states: 'squeue', or 'sacct' where Slurm keeps accounting.",
            "env_var": False,
            "required": False,
        },
    )


class JobAsSubmitted:
    """A Snakemake job with other resources for `sbatch` than its rule requests."""

    def __init__(self, job: Any, limits: dict[str, int]):
        self.job = job
        self.resources = ResourceList(fromdict={**dict(job.resources.items()), **limits})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.job, name)


class Executor(SlurmExecutor):
    """The Slurm executor with its own status checks, submission and cancellation."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Prepare the run's threads and its memory of outages."""
        super().__post_init__(test_mode)
        self._tracker = StatusTracker(self.logger.warning)
        self._submissions = ThreadPoolExecutor(SUBMISSION_THREADS, thread_name_prefix="slurm_submission")
        self._partitions_lock = threading.Lock()
        self._cluster_partitions: list[Partition] | None = None
        self._other_clusters: bool | None = None

    def run_jobs(self, jobs: list[Any]) -> None:
        """Announce each job to the loggers and submit it in one of the run's threads. Job arrays are not used."""
        if self._other_clusters is None:
            self._other_clusters = any(_names_cluster(job) for job in self.dag.needrun_jobs() if not job.is_local)
            record_run(self.run_uuid, Path.cwd())
        for job in jobs:
            self.run_job_pre(job)
            self._submissions.submit(self.run_job, job)

    def run_job(self, job: Any) -> None:
        """Submit a job once Slurm's controller answers.

        Every fault is reported: a thread would swallow it, and Snakemake would wait for the job forever.
        """
        try:
            self._tracker.wait_for_controller()
            if self._tracker.cancelled.is_set():
                return
            limits = {} if self._other_clusters else limited_resources(job, self._partitions_of_cluster())
            super().run_job(JobAsSubmitted(job, limits) if limits else job)
        except Exception as error:
            self.report_job_error(SubmittedJobInfo(job), msg=f"SLURM job submission failed. {error}")

    def format_job_exec(self, job: Any) -> str:
        """The command of the job; Snakemake looks jobs up by identity."""
        command: str = super().format_job_exec(_snakemake_job(job))
        return command

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Tell Snakemake that its job is submitted."""
        super().report_job_submission(replace(job_info, job=_snakemake_job(job_info.job)), register_job)

    def report_job_error(self, job_info: SubmittedJobInfo, msg: str | None = None, **kwargs: Any) -> None:
        """Tell Snakemake that its job has failed."""
        super().report_job_error(replace(job_info, job=_snakemake_job(job_info.job)), msg, **kwargs)

    def get_account_arg(self, job: Any) -> Iterator[str]:
        """Leave the account to Slurm where none is named: the plugin's guess calls `sacct` in a way that fails."""
        if job.resources.get("slurm_account"):
            yield from super().get_account_arg(job)
        else:
            yield ""

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        """Report jobs that have ended and yield the others; yield all jobs while Slurm does not answer."""
        if not active_jobs:
            return
        if self._other_clusters:
            async for job_info in super().check_active_jobs(active_jobs):
                yield job_info
            return
        settings = self.workflow.executor_settings
        try:
            states = await asyncio.to_thread(query_job_states, self.run_uuid, settings.status_command == "sacct")
        except SlurmCommandError as error:
            self._tracker.record_outage(JOB_LIST, error.why or str(error))
            self.next_seconds_between_status_checks = OUTAGE_POLL_SECONDS
            for job_info in active_jobs:
                yield job_info
            return
        self._tracker.record_job_list()
        pause = min(self.next_seconds_between_status_checks + POLL_INCREMENT_SECONDS, MAX_POLL_SECONDS)
        for job_info in active_jobs:
            status, state = await self._status(job_info, states.get(str(job_info.external_jobid), ""))
            if status is JobStatus.RUNNING:
                yield job_info
                continue
            pause = settings.init_seconds_before_status_checks
            self._report_end(job_info, status, state)
        in_doubt = bool(self._tracker.transient_since)
        self.next_seconds_between_status_checks = min(pause, OUTAGE_POLL_SECONDS) if in_doubt else pause

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Drop waiting submissions, let those under way end, and cancel all jobs of the run."""
        if self._other_clusters:
            super().cancel_jobs(active_jobs)
            return
        self._tracker.cancelled.set()
        # A job that is being submitted would enter the queue after `scancel`, and nobody would wait for it.
        self._submissions.shutdown(wait=True, cancel_futures=True)
        try:
            cancel_run(self.run_uuid)
        except SlurmCommandError as error:
            self.logger.warning(f"{error.why}: jobs of this run may be left in the queue, see `squeue --me`")

    def shutdown(self) -> None:
        """Wait for submissions that are under way, then shut down."""
        self._submissions.shutdown(wait=True)
        super().shutdown()

    async def _status(self, job_info: SubmittedJobInfo, state: str) -> tuple[JobStatus, str]:
        """Status and state of a job. One that Slurm does not list is queried alone, then judged by its outputs."""
        job_id = str(job_info.external_jobid)
        status = self._tracker.classify(job_id, state)
        if status is not JobStatus.FORGOTTEN:
            return status, state
        try:
            state = await asyncio.to_thread(query_job_state, job_id)
        except SlurmCommandError:  # accounting answers, the controller does not: this job alone stays in doubt
            return JobStatus.RUNNING, state
        if not state:
            complete = await outputs_are_complete(self.workflow.persistence, job_info.job)
            return (JobStatus.DONE, "") if complete else (JobStatus.FAILED, "UNKNOWN TO SLURM")
        return JobStatus.FAILED if state in TRANSIENT_STATES else self._tracker.classify(job_id, state), state

    def _report_end(self, job_info: SubmittedJobInfo, status: JobStatus, state: str) -> None:
        if status is JobStatus.DONE:
            self.report_job_success(job_info)
            return
        log = (job_info.aux or {}).get("slurm_logfile")
        message = f"SLURM-job '{job_info.external_jobid}' failed, SLURM status is: '{state}'. "
        self.report_job_error(job_info, msg=message, aux_logs=[str(log)] if log else [])

    def _partitions_of_cluster(self) -> list[Partition]:
        """Queried once per run; one thread asks, the others wait."""
        with self._partitions_lock:
            if self._cluster_partitions is None:
                self._cluster_partitions = query_partitions(include_hidden=True)
            return self._cluster_partitions


def _names_cluster(job: Any) -> bool:
    return any(job.resources.get(key) for key in CLUSTER_RESOURCES)


def _snakemake_job(job: Any) -> Any:
    return job.job if isinstance(job, JobAsSubmitted) else job
