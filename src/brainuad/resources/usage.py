"""The resources that a job used and requested: a small file beside its log, from which `efficiency.tsv` is made.

No job reads these files, except to add up the turns of the same job. Why the jobs measure themselves:
docs/decisions/0024-measuring-jobs.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainuad.errors import InputError, StorageError
from brainuad.formats.files import finished, read_json, write_json
from brainuad.resources.clock import Clock

SUFFIX = ".usage.json"


@contextmanager
def record_usage(job: Any, resumes: bool = False) -> Iterator[None]:
    """Record what the block used, also where it fails. `job`: the `snakemake` object of a script.

    `resumes`: whether the job resumes work that was interrupted. Of its turns (one per start of the job) the record
    holds the longest time and the largest memory, and the number of turns. Any other job starts anew.
    """
    log, clock = Path(job.log[0]), Clock()
    requested = {name: job.resources.get(name) for name in ("mem_mb", "runtime")}
    about = {"rule": job.rule, "wildcards": dict(job.wildcards.items()), "threads": job.threads, "requested": requested}
    turns, earlier = _read_unfinished(usage_path(log)) if resumes else (0, None)
    record = {**about, "turns": turns + 1, "done": False, "used": earlier}
    _write(log, record)  # a job that is killed leaves no other record
    try:
        yield
        record["done"] = True
    finally:
        used = clock.costs()
        longest = max(earlier or used, used, key=lambda costs: costs["seconds"])
        memory = max(costs["peak_memory_mb"] for costs in (earlier or used, used))
        _write(log, {**record, "used": {**longest, "peak_memory_mb": memory}})


def _read_unfinished(path: Path) -> tuple[int, dict[str, float] | None]:
    """Turns of a job that has not succeeded yet, and the largest use in them as far as it was recorded."""
    with suppress(InputError):
        record = read_json(path)
        if not record.get("done", True):
            return record["turns"], record["used"]
    return 0, None


def _write(log: Path, record: dict[str, Any]) -> None:
    with suppress(StorageError):  # the job itself reports a full disk
        write_json(usage_path(log), record)


def usage_path(log: Path) -> Path:
    """Path of the record of the job with this log."""
    return log.with_suffix(SUFFIX)


def read_usage(folder: Path) -> list[dict[str, Any]]:
    """The records of a study's jobs, with those of scans and data sets that the results folder shares among studies.

    Jobs that were killed in every turn have no figures and are left out. `folder`: `results/<study>`.
    """
    return [record for place in (folder, folder.parent) for record in read_logs(place / "logs")]


def read_logs(logs: Path) -> list[dict[str, Any]]:
    """The records in a folder of logs, without those of jobs that were killed in every turn."""
    records = [read_json(path) for path in finished(logs, f"**/*{SUFFIX}")]
    return [record for record in records if record["used"]]
