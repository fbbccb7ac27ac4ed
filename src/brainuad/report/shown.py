"""What `brainuad show` prints of a study: its tables, what they lack and why, and which scans were left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from brainuad.errors import InputError
from brainuad.formats import ceilings as ceiling_tables
from brainuad.formats import missing, tables
from brainuad.formats.files import finished, read_tsv
from brainuad.formats.verdicts import Comparisons
from brainuad.report import ceilings
from brainuad.report.failures_costs import FAILURES
from brainuad.report.left_out import left_out
from brainuad.report.map_geometry import map_geometry
from brainuad.report.study_results import read_listed, without_missing
from brainuad.report.table import comparison

if TYPE_CHECKING:
    from rich.table import Table


def study_results(folder: Path) -> list[Table | str]:
    """Of `results/<study>`. Raises InputError if nothing of the study was evaluated, and nothing failed."""
    evaluated = folder / "evaluate"
    lacking, metrics = missing.read(evaluated), evaluated / "metrics.tsv"
    if not metrics.exists() and not lacking:
        what = "nothing of this study was evaluated yet"
        raise InputError(what, file=metrics, do="run it, or name the folder results/<study>")
    read = tables.read(metrics, tables.METRICS) if metrics.exists() else pd.DataFrame(columns=list(tables.METRICS))
    compared = evaluated / "comparisons.tsv"
    pairs = tables.read(compared, tables.COMPARISONS) if compared.exists() else None
    decided = Comparisons(pd.DataFrame(columns=list(tables.COMPARISONS)) if pairs is None else pairs)
    parts: list[Table | str] = [*comparison(without_missing(read, lacking), decided), ""]
    if (scans := evaluated / "scans.tsv").exists():
        found = map_geometry(without_missing(tables.read(scans, tables.SCANS), lacking)).lines()
        parts += [f"maps          {line}" for line in found]
    perfect = ceiling_tables.read(finished(folder / "ceilings", "*"))
    parts += [f"ceilings      {line}" for line in ceilings.lines(perfect)]
    if lacking:
        parts += [
            f"missing       {len(lacking)} of the study's evaluations; the whole list is {evaluated / missing.NAME}"
        ]
        parts += [f"  {line}" for line in missing.lines(lacking)]
    if (listed := read_listed(folder)) and (folder / "failures.tsv").exists():
        _, rows = read_tsv(folder / "failures.tsv", "the table of failures")
        head, *more = left_out(pd.DataFrame(rows, columns=FAILURES), listed).lines(folder / "failures.tsv")
        parts += [f"scans         {head}", *more]
    if (folder / "failed_jobs.tsv").exists():
        parts += [f"failed jobs   {folder / 'failed_jobs.tsv'}, of the last run"]
    return parts
