"""What `brainuad show` prints: a study's tables, what they lack, which scans were left out; or a list of studies."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from brainuad import terminal
from brainuad.errors import InputError
from brainuad.formats import ceilings as ceiling_tables
from brainuad.formats import missing, tables
from brainuad.formats.files import finished, read_tsv
from brainuad.formats.verdicts import NONE, Comparisons
from brainuad.report import ceilings
from brainuad.report.failures_costs import FAILURES
from brainuad.report.lacking import without_sequences
from brainuad.report.left_out import left_out
from brainuad.report.map_geometry import map_geometry
from brainuad.report.study_results import read_listed, without_missing
from brainuad.report.table import blocks, comparison

if TYPE_CHECKING:
    from rich.table import Table


def studies(folder: Path) -> list[Table | str]:
    """The studies in a results folder with what was decided of their models; nothing if there are none."""
    rows = []
    for evaluated in sorted(folder.glob("*/evaluate")):
        name, metrics = evaluated.parent.name, evaluated / "metrics.tsv"
        lacking = missing.read(evaluated)
        lacks = f"{len(lacking)} {'evaluation is' if len(lacking) == 1 else 'evaluations are'} missing" * bool(lacking)
        if not metrics.exists():
            rows += [[name, "-", "-", "no table yet", lacks]]
            continue
        read = without_missing(tables.read(metrics, tables.METRICS), lacking)
        pairs = evaluated / "comparisons.tsv"
        decided = Comparisons(tables.read(pairs, tables.COMPARISONS)) if pairs.exists() else NONE
        said = [f"{block.dataset}: {line}" for block in blocks(read, decided) for line in block.decisions]
        day = date.fromtimestamp(metrics.stat().st_mtime).isoformat()
        rows.append([name, str(read["model"].nunique()), day, "\n".join(said) or "no model was compared", lacks])
    heads = ["study", "models", "tables of", "against the best trivial baseline", "missing"]
    return [terminal.table(heads, rows), f"one of them: brainuad show {folder}/<study>"] if rows else []


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
    path = evaluated / "scans.tsv"
    scans = tables.read(path, tables.SCANS) if path.exists() else pd.DataFrame(columns=list(tables.SCANS))
    scans = without_missing(scans, lacking)
    parts: list[Table | str] = [*comparison(without_missing(read, lacking), decided, without_sequences(scans)), ""]
    parts += [f"maps          {line}" for line in map_geometry(scans).lines()]
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
