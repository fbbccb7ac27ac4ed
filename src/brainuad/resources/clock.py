"""What a piece of work costs: time, processor time and memory of its process and of the programs that this runs.

The one measure behind run records (`costs.tsv`) and the notes of jobs (`efficiency.tsv`).
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

EVERY = 1.0
"""Seconds between two looks at the memory of all processes."""
OWN_AND_PROGRAMS = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


class Clock:
    """Measures from here on. `started`: seconds since 1970."""

    def __init__(self) -> None:
        self.started, self._wall, self._cpu = time.time(), time.perf_counter(), _cpu_seconds()
        self._before = {"seconds": 0.0, "cpu_seconds": 0.0}
        self._watch = _watch(os.getpid())

    def go_on(self, before: Mapping[str, float]) -> None:
        """The work was begun by earlier processes: what it had cost `so_far` counts, and its start is theirs."""
        self.started = before["started"]
        self._before = {name: before[name] for name in self._before}

    def so_far(self) -> dict[str, float]:
        """`started`, `seconds` and `cpu_seconds` of the work, for a process that goes on with it."""
        seconds, cpu = time.perf_counter() - self._wall, _cpu_seconds() - self._cpu
        return {
            "started": self.started,
            "seconds": self._before["seconds"] + seconds,
            "cpu_seconds": self._before["cpu_seconds"] + cpu,
        }

    def costs(self) -> dict[str, float]:
        """`seconds` since the start; `cpu_seconds` since then, of programs once they have ended; `peak_memory_mb`.

        The peak is of this process and all that it started together, and since it began: memory that earlier work
        took counts as well.
        """
        self._watch.look()
        spent = self.so_far()
        return {
            "seconds": spent["seconds"],
            "cpu_seconds": spent["cpu_seconds"],
            "peak_memory_mb": max(_largest_mb(), self._watch.peak),
        }


class _Watch(threading.Thread):
    """Looks now and then at how much a process and those it started take together; the kernel keeps each one's peak."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak = process, 0.0

    def run(self) -> None:
        """As long as the process lives."""
        while True:
            self.look()
            time.sleep(EVERY)

    def look(self) -> None:
        """Note what is taken at this moment, if it is more than before."""
        self.peak = max(self.peak, _resident_mb(self.process))


@cache
def _watch(process: int) -> _Watch:
    """The one watch of a process; what is forked from it has none of its threads, and starts its own."""
    watch = _Watch(process)
    watch.start()
    return watch


def _resident_mb(process: int) -> float:
    """Of a process and those that it started, at this moment; 0 where the system has no `/proc`."""
    place = Path(f"/proc/{process}")
    try:
        size = int((place / "statm").read_text().split()[1]) * resource.getpagesize() / 2**20
        started = [number for task in place.glob("task/*/children") for number in task.read_text().split()]
    except (OSError, IndexError):  # it has just ended
        return 0.0
    return size + sum(_resident_mb(int(number)) for number in started)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in OWN_AND_PROGRAMS]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _largest_mb() -> float:
    """Peak of this process or of one of the programs that it ran, whichever took more."""
    return max(resource.getrusage(who).ru_maxrss for who in OWN_AND_PROGRAMS) / 1024
