"""When long work must stop, because of a signal or of the end of its Slurm job, and how it then ends."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray
from typing import Any

from brainuad.cluster.allocation import Allocation, here
from brainuad.cluster.ask import SilentError
from brainuad.errors import BrainuadError

ASKED = (signal.SIGTERM, signal.SIGINT)
"""Signals after which the work is not to go on by itself."""
WARNING = (signal.SIGUSR1, signal.SIGUSR2)
"""What Slurm's `--signal` sends before the limit."""
DEADLINE = -1
MARGIN = 60.0
"""Seconds before the limit at which work stops, at least; less where a job has few minutes."""
ASK_AGAIN = 180.0
"""Seconds between two questions for a limit that Slurm has not told yet."""
REASON, STEPS, PLACE, SETTLED = range(4)
RESUME = "it goes on from its checkpoint"
TIME = "give the rule more runtime in the profile (set-resources)"


class Stopped(BrainuadError):  # noqa: N818 - not an error: the work goes on later
    """Work that was stopped between two steps and goes on from its checkpoint. `code` is the job's exit status."""

    def __init__(self, what: str, code: int = 1, **more: Any):
        super().__init__(what, **more)
        self.code = code


class Watch:
    """Says whether to stop, and ends work that did.

    Its few numbers lie in memory that processes started by this one share, so that one signal reaches all of them.
    """

    def __init__(self, allocation: Allocation | None = None):
        self.allocation = allocation
        self._shared = RawArray("q", 4)
        self._room = math.inf if allocation is None else max(allocation.left(), 0.0)
        self._asked = time.monotonic()
        self._cost = self._longest = 0.0

    def listen(self) -> None:
        """Take the signals; in a thread other than the main one there is nothing to take."""
        if threading.current_thread() is threading.main_thread():
            for number in ASKED if self.allocation is None else (*ASKED, *WARNING):
                signal.signal(number, self._note)

    def start(self, place: int) -> None:
        """The work goes on after the training's `place`th step."""
        self._shared[PLACE] = place

    def step(self, place: int, seconds: float) -> None:
        """A step was made, the training's `place`th, in so many seconds."""
        self._shared[STEPS] += 1
        self._shared[PLACE] = place
        self.took(seconds)

    def took(self, seconds: float) -> None:
        """Something that cannot be stopped, such as a step of validation, lasted so long."""
        self._longest = max(self._longest, seconds)

    def wrote(self, seconds: float) -> None:
        """A checkpoint took so long."""
        self._cost = max(self._cost, seconds)

    @property
    def margin(self) -> float:
        """Seconds before the limit at which work stops: room for three steps with a checkpoint each."""
        wanted = max(min(MARGIN, self._room / 4), 3 * (self._cost + self._longest))
        return min(wanted, self._room / 2)

    def wanted(self) -> bool:
        """Whether to stop now."""
        if not self._shared[REASON] and self.allocation is not None:
            if self.allocation.ends is None and time.monotonic() - self._asked > ASK_AGAIN:
                self._asked = time.monotonic()
                self.allocation = self.allocation.again()
                self._room = max(self.allocation.left(), 0.0)
            if self.allocation.left() < self.margin:
                self.allocation = self.allocation.again()
                if self.allocation.left() < self.margin:
                    self._shared[REASON] = DEADLINE
        return bool(self._shared[REASON])

    @property
    def settled(self) -> bool:
        """Whether the work has stopped where it was to."""
        return bool(self._shared[SETTLED])

    def settle(self) -> None:
        """The checkpoint is written. The processes of the work now end each other by signals, which mean nothing."""
        self._shared[SETTLED] = 1

    def ended(self, label: str) -> Stopped:
        """The fault that ends a job whose work has stopped and left a checkpoint; asks for a requeue where that helps.

        Slurm kills the job after such a request: it must not go on.
        """
        reason, steps, place, _ = self._shared
        what = f"{label} stopped at step {place}"
        if reason not in (DEADLINE, *WARNING) or self.allocation is None:
            name = signal.Signals(reason).name
            by = " (scancel, preemption or a node that is taken out)" if self.allocation is not None else ""
            do = f"type the same command again: {RESUME}"
            return Stopped(f"{what} because of {name}{by}", 128 + reason, do=do)
        job = f"job {self.allocation.job}"
        try:
            if not self.allocation.is_ours():
                why, do = f"{job} was not made for it, and is not requeued", f"type the same command again: {RESUME}"
                return Stopped(f"{what} before the limit of {job}", why=why, do=do)
            if not steps:
                why = f"{job}, requeued {self.allocation.restarts()} times, made no step before its time was up"
                return Stopped(f"{what} and is not requeued", why=why, do=TIME)
            self.allocation.requeue()
        except SilentError as error:
            why, do = error.why or error.what, f"let Snakemake try again (retries in the profile): {RESUME}; or {TIME}"
            return Stopped(f"{what} before the limit of {job}, which Slurm does not requeue", why=why, do=do)
        return Stopped(f"{what} before the limit of {job}, which starts again: {RESUME}")

    def _note(self, number: int, _: Any) -> None:
        if not self._shared[SETTLED] and self._shared[REASON] not in ASKED:
            self._shared[REASON] = number


@contextmanager
def watching() -> Iterator[Watch]:
    """A watch on this process and the Slurm job it may run in, for the length of the block."""
    watch = Watch(here())
    before = {number: signal.getsignal(number) for number in (*ASKED, *WARNING)}
    watch.listen()
    try:
        yield watch
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def outlive_warnings() -> None:
    """Let this process, and those that it starts, live on when Slurm warns of the limit.

    Slurm tells every process of a job. A `watching` process takes the signal back.
    """
    if threading.current_thread() is threading.main_thread():
        for number in WARNING:
            signal.signal(number, signal.SIG_IGN)
