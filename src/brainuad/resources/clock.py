"""Wall time, CPU time and peak memory of a piece of work, child processes included.

Used for run records (`costs.tsv`) and for the usage of jobs (`efficiency.tsv`).
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

SAMPLE_SECONDS = 1.0
"""Between two samples of the memory of all processes."""
SELF_AND_CHILDREN = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


class Clock:
    """Measures from its creation on. `started`: seconds since 1970."""

    def __init__(self) -> None:
        self.started, self._wall, self._cpu = time.time(), time.perf_counter(), _cpu_seconds()
        self._earlier = {"seconds": 0.0, "cpu_seconds": 0.0}
        self._memory = _memory_sampler(os.getpid())

    def add_earlier_turns(self, earlier: Mapping[str, float]) -> None:
        """Count the time of earlier processes that began the work: what `so_far` gave there; `started` is theirs."""
        self.started = earlier["started"]
        self._earlier = {name: earlier[name] for name in self._earlier}

    def so_far(self) -> dict[str, float]:
        """`started`, `seconds` and `cpu_seconds` of the work, for a later process that resumes it."""
        seconds, cpu = time.perf_counter() - self._wall, _cpu_seconds() - self._cpu
        return {
            "started": self.started,
            "seconds": self._earlier["seconds"] + seconds,
            "cpu_seconds": self._earlier["cpu_seconds"] + cpu,
        }

    def costs(self) -> dict[str, float]:
        """`seconds`, `cpu_seconds` (of child processes that have ended), and `peak_memory_mb`.

        The peak is that of this process and its children together, since the process started: memory that was used
        before the clock's creation counts too.
        """
        self._memory.sample()
        time_used = self.so_far()
        return {
            "seconds": time_used["seconds"],
            "cpu_seconds": time_used["cpu_seconds"],
            "peak_memory_mb": max(_largest_process_mb(), self._memory.peak_mb),
        }


class _MemorySampler(threading.Thread):
    """Samples the memory of a process and its children together; the kernel keeps the peak of each one alone."""

    def __init__(self, process_id: int) -> None:
        super().__init__(daemon=True)
        self.process_id, self.peak_mb = process_id, 0.0

    def run(self) -> None:
        while True:
            self.sample()
            time.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        self.peak_mb = max(self.peak_mb, _resident_mb(self.process_id))


@cache
def _memory_sampler(process_id: int) -> _MemorySampler:
    """The sampler of a process. A forked process has none of its parent's threads, and starts its own."""
    sampler = _MemorySampler(process_id)
    sampler.start()
    return sampler


def _resident_mb(process_id: int) -> float:
    """Memory of a process and its children at this moment; 0 where the system has no `/proc`."""
    folder = Path(f"/proc/{process_id}")
    try:
        size = int((folder / "statm").read_text().split()[1]) * resource.getpagesize() / 2**20
        children = [number for task in folder.glob("task/*/children") for number in task.read_text().split()]
    except (OSError, IndexError):  # it has just ended
        return 0.0
    return size + sum(_resident_mb(int(number)) for number in children)


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in SELF_AND_CHILDREN]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def _largest_process_mb() -> float:
    """Peak of this process or of its largest child that has ended, whichever is larger."""
    return max(resource.getrusage(who).ru_maxrss for who in SELF_AND_CHILDREN) / 1024
