"""What became of a job, read from what Slurm and the job's log say, and what to change.

States and exit codes: `man sacct`, JOB STATE CODES, and `man scontrol`, show job. Exit codes are `code:signal`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUT_OF_MEMORY = re.compile(r"oom[_-]kill|exceeded (job |step )?memory limit|out of memory handler", re.IGNORECASE)
"""What slurmstepd writes when it, or the kernel, ended a job over its memory."""
GPU_MEMORY = re.compile(r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError: CUDA", re.IGNORECASE)
NO_FILES = re.compile(r"MissingOutputException")
NO_ENVIRONMENT = re.compile(r"ModuleNotFoundError|command not found")
TELLING = re.compile(
    r"slurmstepd|srun: error|Exception\b|(?<!Workflow)Error\b(?! in rule)|are missing|not found|Killed"
)
NOT_SUBMITTED = "not submitted"
AGAIN = "type the same command again"
ENDED = {
    "CANCELLED": "it was cancelled",
    "PREEMPTED": "a job that goes first took its place",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "REVOKED": "Slurm took it back",
}
"""States of which the job is innocent."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `state`: Slurm's word, empty where none was asked; `code` and `signal`: 0 if none is known."""

    state: str = ""
    code: int = 0
    signal: int = 0

    def __str__(self) -> str:
        if self.state != "FAILED":
            return self.state
        if self.signal or self.code > 128:
            return f"FAILED, signal {self.signal or self.code - 128}"
        return f"FAILED, exit code {self.code}" if self.code else "FAILED"


def from_scontrol(text: str) -> Outcome | None:
    """What `scontrol show job <id>` said; none if Slurm has forgotten the job, as it does after some minutes."""
    state = re.search(r"\bJobState=(\w+)", text)
    return Outcome(state[1], *_exit_code(re.search(r"\bExitCode=(\d+):(\d+)", text))) if state else None


def from_sacct(text: str) -> Outcome | None:
    """What `sacct -X -P -n -o State,ExitCode -j <id>` said; of several rows (requeued jobs) the last."""
    rows = [line.split("|") for line in text.splitlines() if "|" in line]
    if not rows:
        return None
    state, exit_code = rows[-1][0], rows[-1][-1]
    return Outcome(state.split(" ")[0].rstrip("+"), *_exit_code(re.match(r"(\d+):(\d+)", exit_code)))


def from_message(text: str) -> Outcome | None:
    """What Snakemake's plugin for Slurm said of a failed job."""
    if "sbatch failed" in text or "submission failed" in text or "failed array sbatch" in text:
        return Outcome(NOT_SUBMITTED)
    state = re.search(r"SLURM status is: '(\w+)", text)
    return Outcome(state[1]) if state else None


def advice(rule: str, outcome: Outcome, asked: Mapping[str, Any], log: str, message: str = "") -> str:
    """One sentence: what ended the job, and what to change.

    `asked`: the job's resources (`mem_mb`, `runtime` in minutes); `log`: what its logs end with; `message`: what
    Snakemake, or its plugin for Slurm, said of it.
    """
    own = own_error(log)
    if outcome.state == NOT_SUBMITTED:
        said = re.search(r"error message was '?(.*?)'?\.?(?:\n|$)", message)
        return (
            f"Slurm refused it ({said[1] if said else 'see above'}): correct the profile's partition, account or sizes"
        )
    if outcome.state == "TIMEOUT":
        return f"it reached its time limit: {_more(rule, 'runtime', asked, 'minutes')}"
    if outcome.state == "OUT_OF_MEMORY" or (not own and OUT_OF_MEMORY.search(log)):
        return f"it needed more memory than it asked for: {_more(rule, 'mem_mb', asked, 'MB')}, or raise `retries`"
    if outcome.state in ENDED:
        return f"{ENDED[outcome.state]}: {AGAIN}, and the study goes on"
    if own:
        return own
    if GPU_MEMORY.search(log):
        return "the GPU's memory was too small: give the model a smaller batch, or name a larger GPU in the profile"
    if not outcome.state and "SIGKILL" in message:
        return f"it was killed, most often because no memory was left: {AGAIN} with fewer `--cores`"
    if outcome.signal == 9 or outcome.code == 137:
        return f"it was killed, most often for its memory: {_more(rule, 'mem_mb', asked, 'MB')}"
    if NO_ENVIRONMENT.search(log):
        return f"a program or package is missing where it ran: activate the environment, and {AGAIN}"
    if outcome.state == "COMPLETED" or NO_FILES.search(log):
        return f"it ended well, but its files were not seen in time: raise `latency-wait` in the profile, and {AGAIN}"
    return f"read its log; if the fault was the machine's, {AGAIN}"


def own_error(log: str) -> str:
    """Our own sentence in a log, with its remedy, as `errors.reported` writes it; empty if there is none."""
    found = re.findall(r"^error: (.+)\n((?:  (?:file|why|do) .*\n?)*)", log + "\n", re.MULTILINE)
    if not found:
        return ""
    what, rows = found[-1]
    remedy = re.search(r"^  do +(.+)$", rows, re.MULTILINE)
    return f"{what}: {remedy[1]}" if remedy else what


def telling(log: str) -> list[str]:
    """The lines of Slurm's log of a job that say why it ended, out of what Snakemake writes there in any case."""
    lines = [line for line in log.splitlines() if TELLING.search(line)]
    return lines or log.splitlines()


def _exit_code(found: re.Match[str] | None) -> tuple[int, int]:
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _more(rule: str, name: str, asked: Mapping[str, Any], unit: str) -> str:
    had = asked.get(name)
    place = "under `set-resources` in the profile"
    if not isinstance(had, int | float):
        return f"give {rule} more `{name}` {place}"
    return f"it had {had:.0f} {unit}, write `{rule}: {name}: {2 * had:.0f}` {place}"
