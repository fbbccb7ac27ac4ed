"""Progress of work of two kinds, whose steps take different times: what is left is judged by the pace of each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

from brainuad.status_line import FIRST_SECONDS, StatusLine
from brainuad.units import format_duration


class Progress:
    """Counts steps and shows them on standard error."""

    def __init__(self, steps: Mapping[str, int], clock: Callable[[], float] = time.monotonic):
        """`steps`: how many of each kind will come, kinds in the order they are done."""
        self._steps, self._clock = dict(steps), clock
        self._done = dict.fromkeys(steps, 0)
        self._seconds = dict.fromkeys(steps, 0.0)
        self._start = self._last = clock()
        self._status = StatusLine(clock, _to_terminal)

    def step(self, kind: str) -> None:
        """One more of a kind is done."""
        now = self._clock()
        self._done[kind] += 1
        self._seconds[kind] += now - self._last
        self._last = now
        if self._done == self._steps:
            self._status.close()
        else:
            self._status.update(lambda: self.line(kind))

    def line(self, kind: str) -> str:
        """What is done of the kind, and the time left of all; none as long as the pace of a kind is not known."""
        text = f"{kind}: {self._done[kind]} of {self._steps[kind]}"
        left = self._left()
        return text if left is None else f"{text}, {format_duration(left)} left"

    def _left(self) -> float | None:
        if self._last - self._start < FIRST_SECONDS:
            return None
        left = 0.0
        for kind, steps in self._steps.items():
            if steps and not self._done[kind]:
                return None
            left += self._seconds[kind] / max(self._done[kind], 1) * (steps - self._done[kind])
        return left


def _to_terminal(line: str) -> None:  # a command has no log
    sys.stderr.write(f"{line}\n")
