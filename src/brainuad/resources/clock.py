"""Wall time, CPU time and peak memory of a piece of work, child processes included.

Used for run records (`costs.tsv`) and for the usage of jobs (`efficiency.tsv`). Memory is the processes' own: pages of
mapped files (array caches, libraries) are page cache, which the kernel takes back where memory is short.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

SAMPLE_SECONDS = 0.1
"""Between two samples of the memory of all processes: a process cannot fill more than a few 100 MB in that time."""
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
        if processes := list(_processes(self.process_id)):
            used = sum(own for own, _ in processes) + max(shared for _, shared in processes)
        else:  # the kernel's peak of this process alone, with mapped files
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.peak_mb = max(self.peak_mb, used)


@cache
def _memory_sampler(process_id: int) -> _MemorySampler:
    """The sampler of a process. A forked process has none of its parent's threads, and starts its own."""
    sampler = _MemorySampler(process_id)
    sampler.start()
    return sampler


def _processes(process_id: int) -> Iterator[tuple[float, float]]:
    """Of a process and its children at this moment, MB: its own memory, and what it shares with other processes.

    Nothing where the system has no `/proc`.
    """
    folder = Path(f"/proc/{process_id}")
    try:
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        children = [number for task in folder.glob("task/*/children") for number in task.read_text().split()]
        own, shared = (int(lines[f"Rss{kind}"].split()[0]) / 1024 for kind in ("Anon", "Shmem"))
    except (OSError, KeyError):  # it has just ended
        return
    yield own, shared
    for number in children:
        yield from _processes(int(number))


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in SELF_AND_CHILDREN]
    return sum(each.ru_utime + each.ru_stime for each in usage)
