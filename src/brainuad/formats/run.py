"""The run record of a job: its settings, input, results, times and memory.

`run.json` lies beside the job's outputs, and `metrics.csv` (step, name, value) where a job has curves. MLflow and
`costs.tsv` are made from run records alone; times never enter the tables of metrics.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainuad.errors import InputError
from brainuad.formats.files import atomic, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

NAME, CURVES = "run.json", "metrics.csv"


@dataclass
class Record:
    """The content of a run record. `settings` and `tags` are known before the job starts, `facts` after it."""

    stage: str
    tags: dict[str, str]
    """model, seed, dataset, postprocessing, family, study ... as far as they apply."""
    settings: dict[str, Any]
    seed: int | None = None
    data: str = ""
    """Hash of the input scans."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Results of the job: number of parameters, steps, best loss ..."""
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
    """Read a record; raises InputError for a broken or foreign file."""
    content = read_json(path)
    lacking = {"stage", "tags", "settings", "facts"} - set(content if isinstance(content, dict) else ())
    if lacking:
        why, do = "it lacks " + ", ".join(sorted(lacking)), f"delete {Path(path).parent} and run the same command again"
        raise InputError(f"{Path(path).name} is no run record", file=path, why=why, do=do)
    record: dict[str, Any] = content
    return record


def read_curves(path: str | Path) -> pd.DataFrame:
    """Columns step, name, value; empty if the job has none. Raises InputError for a broken file."""
    import pandas as pd  # late: most jobs write records and read none

    path, columns = Path(path), ["step", "name", "value"]
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        return pd.read_csv(path, dtype=dict(zip(columns, (int, str, float), strict=True)))[columns]
    except (OSError, ValueError, KeyError) as error:
        do = f"delete {path.parent} and run the same command again"
        raise InputError(f"cannot read {path.name}", file=path, why=str(error), do=do) from None
