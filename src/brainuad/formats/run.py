"""A run record: what one job did, with what, how long and how much memory.

`run.json` beside the job's outputs, and `metrics.csv` (step, name, value) where a job has curves. Only these
records reach MLflow and `costs.tsv`; times never enter the metrics tables.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainuad.formats.files import atomic, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

NAME, CURVES = "run.json", "metrics.csv"


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


def write(folder: str | Path, record: Record, measured: Mapping[str, Any]) -> None:
    """Write `run.json`, and `metrics.csv` if there are curves. `measured`: costs, versions, commit and host."""
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
            **measured,
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
