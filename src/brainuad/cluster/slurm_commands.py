"""Running Slurm's command-line programs."""

from __future__ import annotations

import os
import shutil
import subprocess

from brainuad.errors import BrainuadError

REQUIRED_COMMANDS = ("sbatch", "squeue", "scontrol", "sinfo", "scancel")
TIMEOUT_S = 50.0
"""Slurm's own commands give up after about ten seconds; a busy controller may take longer to answer."""
SHORT_TIMEOUT_S = 20.0
"""For callers that cannot wait: a training near its time limit, and the logger."""
USER_PREFERENCE_PREFIXES = ("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_")
"""Environment variables with which users filter what these commands show; they would hide running jobs."""


class SlurmCommandError(BrainuadError):
    """A Slurm command that failed or did not answer. `why` is its error message."""


def run_slurm(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """Run a Slurm command and return its standard output.

    Raises SlurmCommandError if the command is missing, cannot start, fails, or does not end in time.
    """
    name = command[0]
    env = {key: value for key, value in os.environ.items() if not key.startswith(USER_PREFERENCE_PREFIXES)}
    try:
        process = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False, env=env)
    except FileNotFoundError:
        raise SlurmCommandError(f"{name} was not found") from None
    except OSError as error:  # a login node at its process limit
        raise SlurmCommandError(f"{name} could not start", why=error.strerror) from None
    except subprocess.TimeoutExpired:
        raise SlurmCommandError(f"{name} did not answer", why=f"no output within {timeout_s:g} s") from None
    stdout, stderr = (text.decode(errors="replace") for text in (process.stdout, process.stderr))
    if process.returncode:
        why = " ".join((stderr or stdout).split())
        raise SlurmCommandError(f"{name} did not answer", why=why or f"exit status {process.returncode}")
    return stdout


def run_slurm_or_empty(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """Run a Slurm command and return its standard output, or an empty string if it fails."""
    try:
        return run_slurm(*command, timeout_s=timeout_s)
    except SlurmCommandError:
        return ""


def missing_commands() -> list[str]:
    """The required Slurm commands that are not on PATH."""
    return [name for name in REQUIRED_COMMANDS if shutil.which(name) is None]


def controller_is_up() -> bool:
    """Whether Slurm's controller, or its backup, answers."""
    try:
        run_slurm("scontrol", "ping")
    except SlurmCommandError:
        return False
    return True


def accounting_is_available() -> bool:
    """Whether `sacct` answers. It does not where Slurm keeps no accounting, or while its database is down."""
    try:
        run_slurm("sacct", "-X", "-n", "-P", "-o", "JobID", "--starttime", "now")
    except SlurmCommandError:
        return False
    return True
