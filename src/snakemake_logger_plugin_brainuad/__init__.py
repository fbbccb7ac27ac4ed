"""One line per finished job, with the time left: what `--logger brainuad` (in profiles/local) shows of a run.

Errors, warnings and dry runs are shown as Snakemake shows them; its full log lies in `.snakemake/log` all the same.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from logging import WARNING, LogRecord
from statistics import median

from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

SHOWN_WITHOUT_EVENT = ("Nothing to be done", "Exiting because", "Complete log")


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


def in_words(seconds: float) -> str:
    """About how long: `40 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class LogHandler(LogHandlerBase):
    """The handler that Snakemake looks for in a logger plugin."""

    def __post_init__(self) -> None:
        """Take over Snakemake's own words for all that is not a job's start or end."""
        self.words = DefaultFormatter(quiet=set(), show_failed_logs=True)
        self.plain = DefaultFilter(set(), False, False, self.common_settings.dryrun, False)
        self.jobs: dict[int, tuple[str, str, float]] = {}
        self.estimate = Estimate()
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
            job = record.__dict__
            wildcards = " ".join(str(value) for value in dict(job["wildcards"] or {}).values())
            self.jobs[job["jobid"]] = (job["rule_name"], wildcards, time.monotonic())
        elif event == LogEvent.JOB_FINISHED:
            rule, wildcards, began = self.jobs.pop(getattr(record, "job_id", -1), ("", "", time.monotonic()))
            self.estimate.finished(rule, time.monotonic() - began)
            self.last = f"{rule} {wildcards}".strip()
        elif event == LogEvent.PROGRESS:
            done, total = record.__dict__["done"], record.__dict__["total"]
            left = f", about {in_words(self.estimate.seconds())} left" if done < total else ""
            self._say(f"[{done:>{len(str(total))}} of {total}{left}] {self.last}")
        elif record.levelno >= WARNING or event in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR):
            self._say(self.words.format(record))
        elif event is None and str(record.msg).startswith(SHOWN_WITHOUT_EVENT):
            self._say(str(record.msg))

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
