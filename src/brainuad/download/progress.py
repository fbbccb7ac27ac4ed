"""Per cent, speed and time left of a file that is being downloaded."""

from __future__ import annotations

import time
from collections.abc import Callable

from brainuad.status_line import StatusLine
from brainuad.units import format_duration, format_size


class Progress:
    """Per cent, speed and time left of one file; bytes and speed if its length is unknown."""

    def __init__(self, name: str, done: int, total: int | None, clock: Callable[[], float] = time.monotonic):
        """`done`: bytes that exist already; they do not count for the speed."""
        self._name, self._total, self._clock = name, total, clock
        self._before = self._done = done
        self._start = clock()
        self._status = StatusLine(clock)

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        self._status.update(self._line, self._done / self._total if self._total else 0.0)

    def close(self) -> None:
        """Show the final state."""
        self._status.close(self._line())

    def _line(self) -> str:
        speed = (self._done - self._before) / max(self._clock() - self._start, 1e-9)
        if self._total is None:
            return f"{self._name}: {format_size(self._done)}, {format_size(speed)}/s"
        share = self._done / self._total if self._total else 1.0
        line = f"{self._name}: {share:.0%} of {format_size(self._total)}, {format_size(speed)}/s"
        left = self._total - self._done
        return f"{line}, {format_duration(left / speed)} left" if speed and left > 0 else line
