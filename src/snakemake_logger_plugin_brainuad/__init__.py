"""Snakemake logger `brainuad`: one line per finished job, with the time left, and at the end the jobs that failed.

It is chosen in profiles/local and profiles/slurm. Errors, warnings and dry runs are shown as Snakemake shows them; its
full log is in `.snakemake/log` in any case.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from logging import WARNING, LogRecord
from pathlib import Path
from typing import Any

from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from brainuad.cluster import failed_jobs
from brainuad.errors import StorageError
from brainuad.resources.time_left import Machine, Task, TimeLeft
from brainuad.units import format_duration

NOTHING_TO_DO = "Nothing to be done"
SHOWN_WITHOUT_EVENT = (NOTHING_TO_DO, "Exiting because", "Complete log", "SLURM run ID")
FOLDER_VARIABLE = "BRAINUAD_FOLDER"
"""Environment variable with the study's results folder, set by the Snakefile."""


RUN: list[TimeLeft] = []
"""The jobs of this run with what they should take, from the Snakefile; without it all jobs count alike."""
SHARE_OF_TIME = 0.01
"""That the estimates of a run may take: it has thousands of jobs at times."""


class Estimate:
    """The time left of a run, computed anew as often as `SHARE_OF_TIME` allows."""

    def __init__(self, jobs: Mapping[str, int]):
        """`jobs`: how many of each rule."""
        rules = [rule for rule, count in jobs.items() for _ in range(count)]
        unnamed = {-number: Task(rule) for number, rule in enumerate(rules, start=1)}
        self._alike = TimeLeft(unnamed, Machine(None), time.time())
        self._left, self._at, self._cost = 0.0, -math.inf, 0.0

    @property
    def of_run(self) -> TimeLeft:
        """The Snakefile gives it after Snakemake has told the number of jobs, and before the first starts."""
        return RUN[-1] if RUN else self._alike

    def seconds_left(self) -> float:
        """From now."""
        began = time.monotonic()
        if began - self._at < self._cost / SHARE_OF_TIME:
            return max(0.0, self._left - (began - self._at))
        self._left, self._at = self.of_run.seconds_left(time.time()), began
        self._cost = time.monotonic() - began
        return self._left


class LogHandler(LogHandlerBase):
    """The handler that Snakemake looks for in a logger plugin."""

    def __post_init__(self) -> None:
        """Use Snakemake's own format for all but a job's start and end."""
        self.snakemake_format = DefaultFormatter(quiet=set(), show_failed_logs=True)
        self.dry_run_filter = DefaultFilter(set(), False, False, self.common_settings.dryrun, False)
        self.jobs: dict[int, str] = {}
        """Rule and wildcards of each job that runs, by Snakemake's job id."""
        self.estimate = Estimate({})
        self.failures = failed_jobs.FailureRecorder()
        self.has_run = False
        self.last_message = ""
        """The last error that names no job: a job that runs here says how it ended before its JOB_ERROR."""
        self.last_finished = ""

    def emit(self, record: LogRecord) -> None:
        """Show a record, or keep what later records need of it."""
        event, details = getattr(record, "event", None), record.__dict__
        if self.common_settings.dryrun:
            if self.dry_run_filter.filter(record):
                self._show(self.snakemake_format.format(record))
        elif event == LogEvent.RUN_INFO:
            self.estimate = Estimate({rule: count for rule, count in details["stats"].items() if rule != "total"})
        elif event == LogEvent.JOB_INFO:
            self._record_start(details["jobid"], details["rule_name"], details["wildcards"], details.get("resources"))
        elif event == LogEvent.JOB_STARTED:
            self.has_run = True
        elif event == LogEvent.JOB_FINISHED:
            jobid = details.get("job_id", -1)
            self.last_finished = self.jobs.pop(jobid, "")
            self.estimate.of_run.finish(jobid, time.time())
            self.failures.record_success(jobid)
        elif event == LogEvent.PROGRESS:
            done, total = details["done"], details["total"]
            left = f", about {format_duration(self.estimate.seconds_left())} left" if done < total else ""
            self._show(f"[{done:>{len(str(total))}} of {total}{left}] {self.last_finished}")
        elif record.levelno >= WARNING or event in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR):
            self._show(self.snakemake_format.format(record))
            self._record_failure(record)
        elif event is None and str(record.msg).startswith(SHOWN_WITHOUT_EVENT):
            self.has_run |= str(record.msg).startswith(NOTHING_TO_DO)
            self._show(str(record.msg))

    def close(self) -> None:
        """Show jobs that failed for good and write them into the study's folder; Snakemake calls this at its end.

        The table of an earlier run stays if this run was refused before its first job.
        """
        folder, rows = os.environ.get(FOLDER_VARIABLE), self.failures.table()
        if self.has_run and not self.common_settings.dryrun:
            self.has_run, file = False, None
            try:
                file = failed_jobs.write_table(Path(folder), rows) if folder else None
            except StorageError as error:
                self._show(str(error))
            self._show(failed_jobs.format_table(rows, file) if rows else "")
        super().close()

    def _record_start(
        self, jobid: int, rule: str, wildcards: Mapping[str, Any] | None, requested: Mapping[str, Any] | None
    ) -> None:
        named = dict(wildcards or {})
        self.jobs[jobid] = " ".join([rule, *map(str, named.values())])
        self.estimate.of_run.start(jobid, rule, time.time())
        self.failures.record_start(jobid, rule, named, dict((requested or {}).items()))

    def _record_failure(self, record: LogRecord) -> None:
        """Keep which job failed, and the error message of Snakemake or of the executor."""
        details, event = record.__dict__, getattr(record, "event", None)
        if event == LogEvent.GROUP_ERROR:
            jobids = [job["jobid"] for job in details["job_error_info"]]
            for jobid in jobids:
                self.estimate.of_run.fail(jobid)
            self.failures.record_group(jobids, str(details.get("external_jobid") or ""), details["aux_logs"])
        elif event == LogEvent.JOB_ERROR:
            slurm_job = str(details["aux"].get("external_jobid") or "")
            message = details["rule_msg"] or self.last_message
            self.estimate.of_run.fail(details["jobid"])
            self.failures.record_failure(details["jobid"], details["rule_name"], details["log"], slurm_job, message)
            self.last_message = ""
        else:
            self.last_message = str(record.msg)

    @staticmethod
    def _show(text: str) -> None:
        if text:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    @property
    def writes_to_stream(self) -> bool:
        """It replaces Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake's own log file stays."""
        return False

    @property
    def has_filter(self) -> bool:
        """`emit` chooses."""
        return True

    @property
    def has_formatter(self) -> bool:
        """`emit` formats."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It draws nothing."""
        return False
