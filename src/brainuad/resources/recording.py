"""Run records: what a job cost, and with which code and machine it ran."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from brainuad.formats import run
from brainuad.formats.run import Record
from brainuad.resources.clock import Clock

PACKAGES = ("torch", "lightning", "numpy", "scipy", "nibabel", "SimpleITK", "antspyx", "snakemake")


@contextmanager
def recorded(folder: str | Path, record: Record, clock: Clock | None = None) -> Iterator[Record]:
    """Measure the block and write its record into `folder`; a `clock` brings the costs of earlier turns of the work."""
    clock = clock or Clock()
    yield record
    write(folder, record, clock)


def write(folder: str | Path, record: Record, clock: Clock) -> None:
    """Write the record with what the work has cost so far."""
    run.write(folder, record, {"started": clock.started, **clock.costs(), **environment()})


def environment() -> dict[str, Any]:
    """Versions, commit and host of this process."""
    host = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
    return {"versions": versions(), "commit": commit(), "host": host}


def versions() -> dict[str, str]:
    """Versions of Python, brainuad and the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("brainuad", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Git commit of the code, with `-dirty` if it was changed; empty outside a clone."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        state = subprocess.run(
            ["git", "-C", here, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return head.stdout.strip() + ("-dirty" if state.stdout.strip() else "") if head.returncode == 0 else ""
