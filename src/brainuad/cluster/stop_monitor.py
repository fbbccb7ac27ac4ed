"""When a training must stop, because of a signal or of its Slurm job's time limit, and how it then ends."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray
from typing import Any

from brainuad.cluster.allocation import Allocation, current_allocation
from brainuad.cluster.slurm_commands import SlurmCommandError
from brainuad.errors import BrainuadError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""After these the training does not go on by itself."""
WARNING_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""Sent by Slurm's `--signal` before the time limit."""
TIME_LIMIT = -1
"""Reason of a stop that no signal asked for."""
MARGIN_SECONDS = 60.0
"""Before the limit at which a training stops, at least; less where a job has few minutes."""
LIMIT_QUERY_SECONDS = 180.0
"""Between two queries for a limit that Slurm has not reported yet."""
REASON, STEP_COUNT, LAST_STEP, STOPPED = range(4)
"""Places in the shared memory: the signal or TIME_LIMIT, steps made by this job, number of the last step of the
training, whether the last checkpoint is written."""
RESUMES = "it goes on from its checkpoint"
MORE_RUNTIME = "give the rule more runtime in the profile (set-resources)"


class TrainingStopped(BrainuadError):  # noqa: N818 - not an error: the training goes on later
    """A training that was stopped between two steps and goes on from its checkpoint. `code`: exit status of the job."""

    def __init__(self, what: str, code: int = 1, **details: Any):
        super().__init__(what, **details)
        self.code = code


class StopMonitor:
    """Decides when a training stops, and gives the error that ends its job.

    Its state is in memory shared with child processes, so that one signal reaches all processes of a training.
    """

    def __init__(self, allocation: Allocation | None = None):
        self.allocation = allocation
        self._shared = RawArray("q", 4)
        self._seconds_at_start = math.inf if allocation is None else max(allocation.seconds_left(), 0.0)
        self._queried = time.monotonic()
        self._checkpoint_seconds = self._longest_seconds = 0.0

    def install_signal_handlers(self) -> None:
        """Handle the signals; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS if self.allocation is None else (*STOP_SIGNALS, *WARNING_SIGNALS):
                signal.signal(number, self._handle_signal)

    def record_resume(self, step: int) -> None:
        """The training goes on after this step."""
        self._shared[LAST_STEP] = step

    def record_step(self, step: int, seconds: float) -> None:
        """The training has made this step."""
        self._shared[STEP_COUNT] += 1
        self._shared[LAST_STEP] = step
        self.record_duration(seconds)

    def record_duration(self, seconds: float) -> None:
        """Something that cannot be interrupted, such as a step of the validation, took so long."""
        self._longest_seconds = max(self._longest_seconds, seconds)

    def record_checkpoint(self, seconds: float) -> None:
        """Writing a checkpoint took so long."""
        self._checkpoint_seconds = max(self._checkpoint_seconds, seconds)

    @property
    def margin_seconds(self) -> float:
        """Before the limit at which the training stops: enough for three steps with a checkpoint each."""
        three_steps = 3 * (self._checkpoint_seconds + self._longest_seconds)
        margin = max(min(MARGIN_SECONDS, self._seconds_at_start / 4), three_steps)
        return min(margin, self._seconds_at_start / 2)

    def should_stop(self) -> bool:
        """Whether to stop now."""
        if not self._shared[REASON] and self.allocation is not None:
            if self.allocation.end_time is None and time.monotonic() - self._queried > LIMIT_QUERY_SECONDS:
                self._queried = time.monotonic()
                self.allocation = self.allocation.refreshed()
                self._seconds_at_start = max(self.allocation.seconds_left(), 0.0)
            if self.allocation.seconds_left() < self.margin_seconds:
                self.allocation = self.allocation.refreshed()
                if self.allocation.seconds_left() < self.margin_seconds:
                    self._shared[REASON] = TIME_LIMIT
        return bool(self._shared[REASON])

    @property
    def stopped(self) -> bool:
        """Whether the training has stopped where it was to."""
        return bool(self._shared[STOPPED])

    def mark_stopped(self) -> None:
        """The checkpoint is written. Signals are ignored from now on: the processes of a training end each other."""
        self._shared[STOPPED] = 1

    def stop_error(self, training: str) -> TrainingStopped:
        """The error that ends a job whose training has stopped; requeues the job where that helps.

        Slurm kills the job after the request: the caller must not go on. `training`: its name in the message.
        """
        reason, step_count, last_step, _ = self._shared
        what = f"{training} stopped at step {last_step}"
        if reason not in (TIME_LIMIT, *WARNING_SIGNALS) or self.allocation is None:
            name = signal.Signals(reason).name
            by = " (scancel, preemption or a node that is taken out)" if self.allocation is not None else ""
            do = f"type the same command again: {RESUMES}"
            return TrainingStopped(f"{what} because of {name}{by}", 128 + reason, do=do)
        job = f"job {self.allocation.job_id}"
        try:
            if not self.allocation.was_submitted_by_snakemake():
                why, do = f"{job} was not made for it, and is not requeued", f"type the same command again: {RESUMES}"
                return TrainingStopped(f"{what} before the limit of {job}", why=why, do=do)
            if not step_count:
                restarts = self.allocation.restart_count()
                why = f"{job}, requeued {restarts} times, made no step before its time was up"
                return TrainingStopped(f"{what} and is not requeued", why=why, do=MORE_RUNTIME)
            self.allocation.requeue()
        except SlurmCommandError as error:
            why = error.why or error.what
            do = f"let Snakemake try again (retries in the profile): {RESUMES}; or {MORE_RUNTIME}"
            return TrainingStopped(f"{what} before the limit of {job}, which Slurm does not requeue", why=why, do=do)
        return TrainingStopped(f"{what} before the limit of {job}, which starts again: {RESUMES}")

    def _handle_signal(self, number: int, _: Any) -> None:
        if not self._shared[STOPPED] and self._shared[REASON] not in STOP_SIGNALS:
            self._shared[REASON] = number


@contextmanager
def stop_monitor() -> Iterator[StopMonitor]:
    """A monitor of this process and its Slurm job; signal handlers are restored at the end of the block."""
    monitor = StopMonitor(current_allocation())
    before = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, *WARNING_SIGNALS)}
    monitor.install_signal_handlers()
    try:
        yield monitor
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def ignore_slurm_warning_signals() -> None:
    """Let this process and its children ignore the signals that Slurm sends to every process before the time limit.

    A training handles them again with `stop_monitor`.
    """
    if threading.current_thread() is threading.main_thread():
        for number in WARNING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
