"""Wall time, CPU time and peak memory of a piece of work, child processes included.

Used for run records (`costs.tsv`) and for the usage of jobs (`efficiency.tsv`). Memory is the processes' own: pages of
mapped files (array caches, libraries) are page cache, which the kernel takes back where memory is short.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

SAMPLE_SECONDS = 0.1
"""Between two samples of the memory of all processes: a process cannot fill more than a few 100 MB in that time."""
TICKS = os.sysconf("SC_CLK_TCK")
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

        The peak is that of this process and its children together, mapped files left out, since the process started:
        memory that was used before the clock's creation counts too.
        """
        self._memory.sample()
        time_used = self.so_far()
        return {
            "seconds": time_used["seconds"],
            "cpu_seconds": time_used["cpu_seconds"],
            "peak_memory_mb": self._memory.peak_mb,
        }


def now_used() -> tuple[float, float]:
    """CPU seconds so far and MB of memory of this process and its children together."""
    processes = list(_processes(os.getpid()))
    if not processes:
        return _cpu_seconds(), _kernels_peak_mb()
    return sum(each.cpu_seconds for each in processes), _together(processes)


class _MemorySampler(threading.Thread):
    """Samples the memory of a process and its children together."""

    def __init__(self, process_id: int) -> None:
        super().__init__(daemon=True)
        self.process_id, self.peak_mb = process_id, 0.0

    def run(self) -> None:
        while True:
            self.sample()
            time.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        processes = list(_processes(self.process_id))
        self.peak_mb = max(self.peak_mb, _together(processes) if processes else _kernels_peak_mb())


@cache
def _memory_sampler(process_id: int) -> _MemorySampler:
    """The sampler of a process. A forked process has none of its parent's threads, and starts its own."""
    sampler = _MemorySampler(process_id)
    sampler.start()
    return sampler


class _Process(NamedTuple):
    """A process at one moment: its own memory, what it shares with other processes, and its time on the CPU."""

    own_mb: float
    shared_mb: float
    cpu_seconds: float
    """With that of its children that have ended."""


def _together(processes: Sequence[_Process]) -> float:
    return sum(each.own_mb for each in processes) + max(each.shared_mb for each in processes)


def _kernels_peak_mb() -> float:
    """Of this process alone, with mapped files."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _processes(process_id: int) -> Iterator[_Process]:
    """A process and its children at this moment; nothing where the system has no `/proc`."""
    folder = Path(f"/proc/{process_id}")
    try:
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        children = [number for task in folder.glob("task/*/children") for number in task.read_text().split()]
        own, shared = (int(lines[f"Rss{kind}"].split()[0]) / 1024 for kind in ("Anon", "Shmem"))
        times = (folder / "stat").read_text().rpartition(")")[2].split()[11:15]
    except (OSError, KeyError):  # it has just ended
        return
    yield _Process(own, shared, sum(map(int, times)) / TICKS)
    for number in children:
        yield from _processes(int(number))


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in SELF_AND_CHILDREN]
    return sum(each.ru_utime + each.ru_stime for each in usage)
