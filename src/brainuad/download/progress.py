"""Progress of work that takes long: a line that is rewritten in a terminal, now and then a line in the job's log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from brainuad.units import format_size

_TERMINAL_SECONDS = 0.2
"""Between two updates."""
_LOG_SECONDS = 30.0
_LOG_SHARE = 0.1
"""Of the whole; a log line is written after this or after `_LOG_SECONDS`."""
_LOG_LEAST_SECONDS = 1.0
"""Keeps small files from filling the log."""
logger = logging.getLogger(__name__)


def show_count(name: str, unit: str, done: int, total: int, seconds: float) -> None:
    """Show how many of `total` are done after so many seconds, and the time left; every tenth goes to the log."""
    left = int(seconds / done * (total - done))
    line = f"{name}: {done} of {total} {unit}, {left // 60}:{left % 60:02d} min left"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{line}" + "\n" * (done == total))
        sys.stderr.flush()
    elif done % 10 == 0 or done == total:
        logger.info(line)


class Progress:
    """Per cent, speed and time left of one file; bytes and speed if its length is unknown."""

    def __init__(self, name: str, done: int, total: int | None, clock: Callable[[], float] = time.monotonic):
        """`done`: bytes that exist already; they do not count for the speed."""
        self._name, self._total, self._clock = name, total, clock
        self._before = self._done = self._shown = done
        self._start = self._last = clock()

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        pause = self._clock() - self._last
        if sys.stderr.isatty():
            due = pause >= _TERMINAL_SECONDS
        else:
            step = self._total is not None and self._done - self._shown >= _LOG_SHARE * self._total
            due = pause >= _LOG_SECONDS or (step and pause >= _LOG_LEAST_SECONDS)
        if due:
            self._show()

    def close(self) -> None:
        """Show the final state."""
        self._show()
        if sys.stderr.isatty():
            sys.stderr.write("\n")

    def _show(self) -> None:
        self._last, self._shown = self._clock(), self._done
        speed = (self._done - self._before) / max(self._last - self._start, 1e-9)
        if self._total is None:
            line = f"{self._name}: {format_size(self._done)}, {format_size(speed)}/s"
        else:
            share = self._done / self._total if self._total else 1.0
            left = int((self._total - self._done) / max(speed, 1e-9)) if speed else 0
            line = f"{self._name}: {share:.0%} of {format_size(self._total)}, {format_size(speed)}/s"
            line += f", {left // 60}:{left % 60:02d} min left" if speed else ""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            logger.info(line)
