"""Tables and report of what finished, at any time: also while the study runs, and after a run that was stopped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from brainuad import terminal
from brainuad.errors import InputError
from brainuad.formats import missing
from brainuad.formats.missing import Missing
from brainuad.plan import Plan
from brainuad.run_end import make_partial, run_here

SNAKEFILE = Path(__file__).parents[2] / "Snakefile"
UP_TO_DATE = "no update"
NOT_YET = "not there yet, or of earlier settings or code: run the study, or let it run on"


def report_so_far(plan: Plan, folder: Path, study: Path) -> None:
    """Make tables and report anew of the evaluations that Snakemake counts as up to date; say what is missing.

    `folder`: results folder of the study, as the user named it; `study`: its file. Raises InputError if they do not
    belong together, or Snakemake cannot read the study.
    """
    if folder.resolve() != plan.folder.resolve():
        why = f"the study file writes to {plan.folder}"
        raise InputError(f"{folder} is not the folder of this study", why=why, do="name its study file with --study")
    done = up_to_date(snakemake_summary(study))
    known = {row.run: row for row in missing.read(plan.folder / "evaluate")}
    rows = []
    for model, seed, dataset in plan.runs():
        run = model, str(seed), dataset
        if str(plan.evaluation(*run)) not in done:
            rows.append(known.get(run) or Missing(*run, stage="evaluate", job="", why=NOT_YET, log=""))
    if len(rows) == len(plan.runs()):
        what = "nothing of the study, as it is now, was evaluated yet"
        raise InputError(what, why="tables and report that are there are of an earlier version", do="run the study")
    if rows or not all(str(path) in done for path in plan.tables()):
        make_partial(plan, rows, ["summarise", "report"])
    elif run_here(plan.job("report"), plan):
        terminal.show(f"wrote {plan.folder / 'report' / 'index.html'}; no evaluation is missing")


def up_to_date(summary: str) -> set[str]:
    """The outputs that Snakemake would not make again. `summary`: what `snakemake --summary` prints."""
    lines = [line.split("\t") for line in summary.splitlines() if "\t" in line]
    return {cells[0] for cells in lines if cells[-1] == UP_TO_DATE}


def snakemake_summary(study: Path) -> str:
    """What Snakemake knows of each output of the study. Raises InputError with Snakemake's own message."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--configfile", str(study)]
    done = subprocess.run([*command, "--summary", "--nolock"], capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError("Snakemake cannot lay out the study", file=study, why=why, do="correct the study, see above")
    return done.stdout
