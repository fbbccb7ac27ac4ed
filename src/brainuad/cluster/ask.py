"""Slurm's commands, asked one question at a time."""

from __future__ import annotations

import os
import shutil
import subprocess

from brainuad.errors import BrainuadError

NEEDED = ("sbatch", "squeue", "scontrol", "sinfo", "scancel")
SECONDS = 50
"""Slurm's own commands give up after about ten seconds; a busy controller may take longer to answer."""


SHORT = 20.0
"""Seconds for those who cannot wait: a training whose time runs, and the log."""
MARK = "rule_"
"""How the comments begin that Snakemake's plugin for Slurm gives its jobs, groups included."""
PREFERENCES = ("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_")
"""Of environment variables by which users change what these commands show: they would hide jobs that run."""


class SilentError(BrainuadError):
    """A Slurm command that did not answer; `why` is what it said."""


def ask(*command: str, seconds: float = SECONDS) -> str:
    """What a Slurm command prints. Raises SilentError if it is not there, cannot start, fails, or does not end."""
    name = command[0]
    env = {key: value for key, value in os.environ.items() if not key.startswith(PREFERENCES)}
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False, env=env)
    except FileNotFoundError:
        raise SilentError(f"{name} is not there") from None
    except OSError as error:  # a login node at its limit of processes
        raise SilentError(f"{name} could not start", why=error.strerror) from None
    except subprocess.TimeoutExpired:
        raise SilentError(f"{name} did not answer", why=f"nothing came within {seconds:g} s") from None
    said, fault = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    if done.returncode:
        why = " ".join((fault or said).split())
        raise SilentError(f"{name} did not answer", why=why or f"it ended with {done.returncode}")
    return said


def told(*command: str, seconds: float = SECONDS) -> str:
    """What a Slurm command prints; nothing if it does not answer."""
    try:
        return ask(*command, seconds=seconds)
    except SilentError:
        return ""


def missing() -> list[str]:
    """Those of Slurm's commands that are not on PATH."""
    return [name for name in NEEDED if shutil.which(name) is None]


def controller_is_up() -> bool:
    """Whether Slurm's controller, or its stand-by, takes jobs and answers questions."""
    try:
        ask("scontrol", "ping")
    except SilentError:
        return False
    return True


def keeps_accounts() -> bool:
    """Whether `sacct` answers: not where Slurm keeps no accounts, nor while its database is away."""
    try:
        ask("sacct", "-X", "-n", "-P", "-o", "JobID", "--starttime", "now")
    except SilentError:
        return False
    return True
