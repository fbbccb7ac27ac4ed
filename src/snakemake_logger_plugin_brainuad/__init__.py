"""One line per finished job, with the time left, and at the end the jobs that failed: what `--logger brainuad` shows.

It is named in profiles/local and profiles/slurm. Errors, warnings and dry runs are shown as Snakemake shows them; its
full log lies in `.snakemake/log` all the same.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from logging import WARNING, LogRecord
from pathlib import Path
from statistics import median
from typing import Any

from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from brainuad.cluster import failed
from brainuad.errors import StorageError
from brainuad.units import format_duration

NOTHING = "Nothing to be done"
SHOWN_WITHOUT_EVENT = (NOTHING, "Exiting because", "Complete log", "SLURM run ID")
FOLDER = "BRAINUAD_FOLDER"
"""Environment variable in which the Snakefile says where the study's results lie."""


class Estimate:
    """Seconds left, from how long jobs of each rule took and how many ran at once."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()
        self.took: dict[str, list[float]] = defaultdict(list)
        self.began = time.monotonic()

    def finished(self, rule: str, seconds: float) -> None:
        """Note that a job of a rule is done."""
        self.left[rule] -= 1
        self.took[rule].append(seconds)

    def seconds(self) -> float:
        """Rules that have not run yet count as the median of those that have."""
        done = [seconds for rule in self.took.values() for seconds in rule]
        mean = {rule: sum(seconds) / len(seconds) for rule, seconds in self.took.items()}
        usual = median(mean.values()) if mean else 0.0
        work = sum(max(count, 0) * mean.get(rule, usual) for rule, count in self.left.items())
        at_once = max(sum(done) / max(time.monotonic() - self.began, 1e-3), 1.0)
        return work / at_once


def introduce(workflow: Any) -> None:
    """Tell the handler which jobs there are, for `onstart`: the executor for Slurm does not say what it submits."""
    for handler in workflow.logger_manager.get_log_handlers():
        if isinstance(handler, LogHandler):
            handler.known = {job.jobid: job for job in workflow.dag.needrun_jobs()}


class LogHandler(LogHandlerBase):
    """The handler that Snakemake looks for in a logger plugin."""

    def __post_init__(self) -> None:
        """Take over Snakemake's own words for all that is not a job's start or end."""
        self.words = DefaultFormatter(quiet=set(), show_failed_logs=True)
        self.plain = DefaultFilter(set(), False, False, self.common_settings.dryrun, False)
        self.known: dict[int, Any] = {}
        self.jobs: dict[int, tuple[str, str, float]] = {}
        self.estimate = Estimate()
        self.failed = failed.Failed()
        self.ran, self.fault = False, ""
        self.last = ""

    def emit(self, record: LogRecord) -> None:
        """Show a record, or keep what later ones need of it."""
        event = getattr(record, "event", None)
        if self.common_settings.dryrun:
            if self.plain.filter(record):
                self._say(self.words.format(record))
        elif event == LogEvent.RUN_INFO:
            self.estimate.left = Counter({rule: n for rule, n in record.__dict__["stats"].items() if rule != "total"})
        elif event == LogEvent.JOB_INFO:
            told = record.__dict__
            self._started(told["jobid"], told["rule_name"], told["wildcards"], told.get("resources"))
        elif event == LogEvent.JOB_STARTED:
            self.ran = True
            self._started_known(record.__dict__["jobs"])
        elif event == LogEvent.JOB_FINISHED:
            number = getattr(record, "job_id", -1)
            rule, wildcards, began = self.jobs.pop(number, ("", "", time.monotonic()))
            self.estimate.finished(rule, time.monotonic() - began)
            self.failed.finished(number)
            self.last = f"{rule} {wildcards}".strip()
        elif event == LogEvent.PROGRESS:
            done, total = record.__dict__["done"], record.__dict__["total"]
            left = f", about {format_duration(self.estimate.seconds())} left" if done < total else ""
            self._say(f"[{done:>{len(str(total))}} of {total}{left}] {self.last}")
        elif record.levelno >= WARNING or event in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR):
            self._say(self.words.format(record))
            self._keep(record)
        elif event is None and str(record.msg).startswith(SHOWN_WITHOUT_EVENT):
            self.ran |= str(record.msg).startswith(NOTHING)
            self._say(str(record.msg))

    def close(self) -> None:
        """Show jobs that failed for good and write them into the study's folder; Snakemake calls this at its end.

        The table of an earlier run stays where this one was refused before its first job.
        """
        folder, rows = os.environ.get(FOLDER), self.failed.table()
        if self.ran and not self.common_settings.dryrun:
            self.ran, file = False, None
            try:
                file = failed.write(Path(folder), rows) if folder else None
            except StorageError as error:
                self._say(str(error))
            self._say(failed.text(rows, file) if rows else "")
        super().close()

    def _started_known(self, numbers: Iterable[int]) -> None:
        for job in [self.known[number] for number in numbers if number in self.known]:
            self._started(job.jobid, job.rule.name, job.wildcards_dict, job.resources)

    def _started(self, number: int, rule: str, wildcards: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> None:
        named = dict(wildcards or {})
        self.jobs[number] = (rule, " ".join(map(str, named.values())), time.monotonic())
        self.failed.started(number, rule, named, dict((asked or {}).items()))

    def _keep(self, record: LogRecord) -> None:
        """Note which job failed, and what Slurm's plugin said of it."""
        told, event = record.__dict__, getattr(record, "event", None)
        if event == LogEvent.GROUP_ERROR:
            numbers = [job["jobid"] for job in told["job_error_info"]]
            self._started_known(numbers)
            self.failed.grouped(numbers, str(told.get("external_jobid") or ""), told["aux_logs"])
        elif event == LogEvent.JOB_ERROR:
            slurm_job = str(told["aux"].get("external_jobid") or "")
            message = told["rule_msg"] or self.fault
            self.failed.failed(told["jobid"], told["rule_name"], told["log"], slurm_job, message)
            self.fault = ""
        else:
            self.fault = str(record.msg)  # of a job that ran here: Snakemake tells how it ended just before

    @staticmethod
    def _say(text: str) -> None:
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
        """It chooses in `emit`."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It formats in `emit`."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It draws nothing."""
        return False
