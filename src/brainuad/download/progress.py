"""How far a download is: a line on stderr, rewritten in a terminal, now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from brainuad.units import format_size

_TERMINAL = 0.2  # seconds between two lines
_LOG = 30.0
_LOG_STEP = 0.1  # of the whole
_LOG_LEAST = 1.0  # small files would else fill the log


def say(line: str) -> None:
    """A line of its own on stderr."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Progress:
    """Per cent, speed and time left of one file; bytes and speed where its length is unknown."""

    def __init__(self, name: str, done: int, total: int | None, clock: Callable[[], float] = time.monotonic):
        """`done` bytes are there already and count for no speed."""
        self._name, self._total, self._clock = name, total, clock
        self._before = self._done = self._told = done
        self._start = self._last = clock()

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        pause = self._clock() - self._last
        if sys.stderr.isatty():
            due = pause >= _TERMINAL
        else:
            step = self._total is not None and self._done - self._told >= _LOG_STEP * self._total
            due = pause >= _LOG or (step and pause >= _LOG_LEAST)
        if due:
            self._tell()

    def close(self) -> None:
        """The last line."""
        self._tell()
        if sys.stderr.isatty():
            sys.stderr.write("\n")

    def _tell(self) -> None:
        self._last, self._told = self._clock(), self._done
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
            say(line)
