"""What a job used of what it asked for: a small file beside the place of its log, from which `efficiency.tsv` is made.

Nothing that must come out the same twice reads it, and no job waits for it.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainuad.errors import StorageError, reported
from brainuad.formats.files import read_json, write_json

SUFFIX = ".usage.json"
EVERY = 1.0
"""Seconds between two looks at the memory of a job's processes."""


@contextmanager
def metered(job: Any) -> Iterator[None]:
    """Run a job as `reported` does, and note what it used, also where it fails. `job`: the `snakemake` of a script."""
    log, wall, cpu = Path(job.log[0]), time.monotonic(), _cpu_seconds()
    together = _Together()
    together.start()
    try:
        with reported(log):
            yield
    finally:
        used = {
            "seconds": time.monotonic() - wall,
            "cpu_seconds": _cpu_seconds() - cpu,
            "peak_memory_mb": max(_peak_memory_mb(), together.stop()),
        }
        asked = {name: job.resources.get(name) for name in ("mem_mb", "runtime")}
        about = {"rule": job.rule, "wildcards": dict(job.wildcards.items()), "threads": job.threads}
        with suppress(StorageError):  # a full disk is the job's own to tell
            write_json(path_beside(log), {**about, "asked": asked, "used": used})


def path_beside(log: Path) -> Path:
    """Where the file of a job lies."""
    return log.with_suffix(SUFFIX)


def read_all(folder: Path) -> list[dict[str, Any]]:
    """The files of a study's jobs, those of the scans and data sets that its results folder shares among them.

    `folder`: `results/<study>`.
    """
    places = (folder / "logs", folder.parent / "logs")
    return [read_json(path) for place in places for path in sorted(place.rglob(f"*{SUFFIX}"))]


class _Together(threading.Thread):
    """Looks now and then at how much the processes of a job take together; the kernel keeps the largest one's alone."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._end = 0.0, threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._end.wait(EVERY):
            self.peak = max(self.peak, _resident_mb(os.getpid()))

    def stop(self) -> float:
        """The largest sum that was seen, in MB."""
        self._end.set()
        return self.peak


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
    """Of this process and of the programs that it ran."""
    return sum(os.times()[:4])


def _peak_memory_mb() -> float:
    """Largest resident size of this process or of one of the programs that it ran."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(each).ru_maxrss for each in who) / 1024
