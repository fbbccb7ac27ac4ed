"""One line that says how far long work is: rewritten in a terminal, elsewhere now and then a line of the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from brainuad.units import format_duration

TERMINAL_SECONDS = 0.2
"""Between two updates."""
LOG_SECONDS = 30.0
LOG_LINES = 10
"""Parts of the whole; a log line is written after each, or after `LOG_SECONDS`."""
LOG_LEAST_SECONDS = 1.0
"""Keeps short work from filling the log."""
FIRST_SECONDS = 3.0
"""Of work before a time left is told."""
logger = logging.getLogger(__name__)


class StatusLine:
    """Shows the line of now when it is due; several processes may share a terminal.

    `log`: what takes the lines where standard error is no terminal.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, log: Callable[[str], None] = logger.info):
        self._clock, self._log = clock, log
        self._terminal = sys.stderr.isatty()
        self._last, self._shown = clock(), 0.0

    def update(self, line: Callable[[], str], share: float = 0.0) -> None:
        """Show the line if it is due. `share`: what is done of the whole, 0 to 1; 0 where that is unknown."""
        pause = self._clock() - self._last
        if self._terminal:
            due = pause >= TERMINAL_SECONDS
        else:
            due = pause >= LOG_SECONDS or (_part(share) > _part(self._shown) and pause >= LOG_LEAST_SECONDS)
        if due:
            self._last, self._shown = self._clock(), share
            self._show(line())

    def close(self, line: str = "") -> None:
        """Show the final line, if there is one; a terminal is left at the start of a line."""
        if line:
            self._show(line)
        if self._terminal:
            sys.stderr.write("\n" if line else "\r\x1b[K")
            sys.stderr.flush()

    def _show(self, line: str) -> None:
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            self._log(line)


def _part(share: float) -> int:
    return int(share * LOG_LINES + 1e-9)


class Count:
    """How much of work in equal steps is done, and the time left by the pace so far.

    `before`: steps that were done earlier; they do not count for the pace.
    """

    def __init__(self, name: str, unit: str, total: int, before: int = 0, clock: Callable[[], float] = time.monotonic):
        self._name, self._unit, self._total, self._before, self._done = name, unit, total, before, before
        self._clock, self._start = clock, clock()
        self._status = StatusLine(clock)

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        self._status.update(self._line, self._done / self._total if self._total else 0.0)

    def close(self) -> None:
        """Show the final state."""
        self._status.close(self._line())

    def _line(self) -> str:
        line, seconds = f"{self._name}: {self._done} of {self._total} {self._unit}", self._clock() - self._start
        left = self._total - self._done
        if not left or self._done == self._before or seconds < FIRST_SECONDS:
            return line
        return f"{line}, {format_duration(seconds / (self._done - self._before) * left)} left"
