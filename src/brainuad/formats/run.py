"""A run record: what one job did, with what, how long and how much memory.

`run.json` beside the job's outputs, and `metrics.csv` (step, name, value) where a job has curves. Only these
records reach MLflow and `costs.tsv`; times never enter the metrics tables.
"""

from __future__ import annotations

import csv
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainuad.formats.clock import Clock
from brainuad.formats.files import atomic, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

NAME, CURVES = "run.json", "metrics.csv"
PACKAGES = ("torch", "lightning", "numpy", "scipy", "nibabel", "SimpleITK", "antspyx", "snakemake")


@dataclass
class Record:
    """What a job says of itself. `settings` and `tags` are known before, `facts` as it goes."""

    stage: str
    tags: dict[str, str]
    """model, seed, dataset, chain, family, study ... as far as they apply."""
    settings: dict[str, Any]
    seed: int | None = None
    data: str = ""
    """Hash of the scans that went in."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Numbers found on the way: parameters, steps, best loss ..."""
    curves: list[tuple[int, str, float]] = field(default_factory=list)
    """(step, name, value)."""


@contextmanager
def recorded(folder: str | Path, record: Record, clock: Clock | None = None) -> Iterator[Record]:
    """Time the block, with the `clock` of work that earlier processes may have begun, then `write` the record."""
    clock = clock or Clock()
    yield record
    write(folder, record, clock)


def write(folder: str | Path, record: Record, clock: Clock) -> None:
    """Write `run.json`, and `metrics.csv` if there are curves."""
    folder = Path(folder)
    if record.curves:
        with atomic(folder / CURVES) as part, part.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["step", "name", "value"])
            rows.writerows(record.curves)
    write_json(
        folder / NAME,
        {
            "stage": record.stage,
            "tags": record.tags,
            "settings": record.settings,
            "seed": record.seed,
            "data": record.data,
            "facts": record.facts,
            "started": clock.started,
            **clock.costs(),
            "versions": versions(),
            "commit": commit(),
            "host": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        },
    )


def read(path: str | Path) -> dict[str, Any]:
    """Read a record."""
    content: dict[str, Any] = read_json(path)
    return content


def read_curves(path: str | Path) -> pd.DataFrame:
    """Columns step, name, value; empty if the job has none."""
    import pandas as pd  # late: most jobs write records and read none

    path = Path(path)
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["step", "name", "value"])


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
