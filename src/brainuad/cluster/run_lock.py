"""Snakemake's lock on the folder it runs in: who holds it, and when it may be removed."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from brainuad.errors import BrainuadError

REFUSED = "Directory cannot be locked"
"""What Snakemake says when another run makes the same files, or was killed while it made them."""
LOCKS = Path(".snakemake/locks")
JOB = "--target-jobs"
"""Option of the Snakemake that a run starts for one of its jobs."""
SHOWN = 200
"""Letters of a command line that a message shows."""


@dataclass(frozen=True)
class OtherRun:
    """A process that runs Snakemake in the same folder."""

    pid: int
    command: str

    @property
    def is_a_job(self) -> bool:
        """Whether it is one job that a run has started; a job never holds the lock."""
        return JOB in self.command.split()

    def __str__(self) -> str:
        return f"process {self.pid}: {self.command[:SHOWN]}"


def explain_lock(snakemake: logging.Logger) -> None:
    """Let Snakemake say what a locked folder means, in place of its own words."""

    def explain(record: logging.LogRecord) -> bool:
        if REFUSED in str(record.msg):
            record.msg, record.args = str(lock_error(Path.cwd())), None
        return True

    snakemake.addFilter(explain)


def lock_error(folder: Path, processes: Path = Path("/proc")) -> BrainuadError:
    """The error for a folder that Snakemake has locked. `processes`: as Linux lists them."""
    locks = folder / LOCKS
    unlock = "`snakemake --unlock` with the same options, then the command that you typed"
    there = other_runs(folder, processes)
    jobs, runs = [each for each in there if each.is_a_job], [each for each in there if not each.is_a_job]
    if runs:
        what, why = "another run works on files of this study in this folder", "; ".join(map(str, runs))
        return BrainuadError(what, file=locks, why=why, do="wait until it ends, or stop it with ctrl-c where it runs")
    if jobs:
        what, why = "this folder is locked by a run that was killed", f"its jobs go on: {'; '.join(map(str, jobs))}"
        do = f"wait until they end, or stop them (those of Slurm by `scancel`); then {unlock}"
        return BrainuadError(what, file=locks, why=why, do=do)
    what = "this folder is locked by a run that was killed, or that runs on another machine"
    why = "no other Snakemake runs in this folder on this machine"
    return BrainuadError(what, file=locks, why=why, do=f"if none runs on another machine either: {unlock}")


def other_runs(folder: Path, processes: Path = Path("/proc")) -> list[OtherRun]:
    """The Snakemake processes in a folder that neither are this one nor started it, nor were started by one of them."""
    inside: dict[int, tuple[int, str]] = {}
    for entry in processes.iterdir() if processes.is_dir() else ():
        if entry.name.isdecimal() and (found := _snakemake_in(entry, folder)):
            inside[int(entry.name)] = found
    mine = {os.getpid()}
    while (parent := next((inside[pid][0] for pid in mine if pid in inside and inside[pid][0] not in mine), 0)) > 1:
        mine.add(parent)
    runs = {pid: found for pid, found in inside.items() if pid not in mine and found[0] not in {*mine, *inside}}
    return [OtherRun(pid, command) for pid, (_, command) in sorted(runs.items())]


def _snakemake_in(process: Path, folder: Path) -> tuple[int, str] | None:
    """Parent and command line of a process that runs Snakemake in a folder; None for any other."""
    try:
        if (process / "cwd").readlink() != folder.resolve():
            return None
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):  # it ended, or is another user's
        return None
    return (parent, " ".join(words).strip()) if any("snakemake" in word for word in words[:4]) else None
