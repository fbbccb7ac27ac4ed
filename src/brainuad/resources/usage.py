"""What a job used of what it asked for: a small file beside the place of its log, from which `efficiency.tsv` is made.

Nothing that must come out the same twice reads it, and no job waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainuad.errors import InputError, StorageError
from brainuad.formats.files import read_json, write_json
from brainuad.resources.clock import Clock

SUFFIX = ".usage.json"


@contextmanager
def metered(job: Any, goes_on: bool = False) -> Iterator[None]:
    """Note what a job used, also where it fails. `job`: the `snakemake` of a script.

    `goes_on`: a job that is stopped, cut short or tried again goes on where it was. Of its turns the largest use then
    counts, and the note says how many there were: none shows what the whole takes. Any other job begins anew.
    """
    log, clock = Path(job.log[0]), Clock()
    asked = {name: job.resources.get(name) for name in ("mem_mb", "runtime")}
    about = {"rule": job.rule, "wildcards": dict(job.wildcards.items()), "threads": job.threads, "asked": asked}
    turns, before = _earlier(path_beside(log)) if goes_on else (0, None)
    note = {**about, "turns": turns + 1, "done": False, "used": before}
    _write(log, note)  # a job that is killed leaves no other
    try:
        yield
        note["done"] = True
    finally:
        used = clock.costs()
        longest = max(before or used, used, key=lambda costs: costs["seconds"])
        memory = max(costs["peak_memory_mb"] for costs in (before or used, used))
        _write(log, {**note, "used": {**longest, "peak_memory_mb": memory}})


def _earlier(path: Path) -> tuple[int, dict[str, float] | None]:
    """Turns that the job has had and not ended well, and the largest use in them as far as it was noted."""
    with suppress(InputError):
        note = read_json(path)
        if not note.get("done", True):
            return note["turns"], note["used"]
    return 0, None


def _write(log: Path, note: dict[str, Any]) -> None:
    with suppress(StorageError):  # a full disk is the job's own to tell
        write_json(path_beside(log), note)


def path_beside(log: Path) -> Path:
    """Where the file of a job lies."""
    return log.with_suffix(SUFFIX)


def read_all(folder: Path) -> list[dict[str, Any]]:
    """The files of a study's jobs, those of the scans and data sets that its results folder shares among them.

    Without those of jobs that have ended no turn yet, or were killed in each.

    `folder`: `results/<study>`.
    """
    places = (folder / "logs", folder.parent / "logs")
    found = [read_json(path) for place in places for path in sorted(place.rglob(f"*{SUFFIX}"))]
    return [note for note in found if note["used"]]
