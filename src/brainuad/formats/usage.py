"""What a job used of what it asked for: a small file beside the place of its log, from which `efficiency.tsv` is made.

Nothing that must come out the same twice reads it, and no job waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainuad.errors import StorageError, reported
from brainuad.formats.clock import Clock
from brainuad.formats.files import read_json, write_json

SUFFIX = ".usage.json"


@contextmanager
def metered(job: Any) -> Iterator[None]:
    """Run a job as `reported` does, and note what it used, also where it fails. `job`: the `snakemake` of a script."""
    log, clock = Path(job.log[0]), Clock()
    try:
        with reported(log):
            yield
    finally:
        asked = {name: job.resources.get(name) for name in ("mem_mb", "runtime")}
        about = {"rule": job.rule, "wildcards": dict(job.wildcards.items()), "threads": job.threads}
        with suppress(StorageError):  # a full disk is the job's own to tell
            write_json(path_beside(log), {**about, "asked": asked, "used": clock.costs()})


def path_beside(log: Path) -> Path:
    """Where the file of a job lies."""
    return log.with_suffix(SUFFIX)


def read_all(folder: Path) -> list[dict[str, Any]]:
    """The files of a study's jobs, those of the scans and data sets that its results folder shares among them.

    `folder`: `results/<study>`.
    """
    places = (folder / "logs", folder.parent / "logs")
    return [read_json(path) for place in places for path in sorted(place.rglob(f"*{SUFFIX}"))]
