"""How a Slurm job ended, read from Slurm's output and the job's log, and the remedy to suggest.

States and exit codes: `man sacct` (JOB STATE CODES) and `man scontrol` (show job). Exit codes are `code:signal`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUT_OF_MEMORY = re.compile(r"oom[_-]kill|exceeded (job |step )?memory limit|out of memory handler", re.IGNORECASE)
"""What slurmstepd writes when it, or the kernel, killed a job for its memory."""
GPU_OUT_OF_MEMORY = re.compile(r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError: CUDA", re.IGNORECASE)
OUTPUT_MISSING = re.compile(r"MissingOutputException")
ENVIRONMENT_MISSING = re.compile(r"ModuleNotFoundError|command not found")
ERROR_LINE = re.compile(
    r"slurmstepd|srun: error|Exception\b|(?<!Workflow)Error\b(?! in rule)|are missing|not found|Killed"
)
NOT_SUBMITTED = "not submitted"
READ_LOG = "read its log"
RUN_AGAIN = "type the same command again"
EXTERNAL_CAUSES = {
    "CANCELLED": "it was cancelled",
    "PREEMPTED": "a job with higher priority took its place",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "REVOKED": "Slurm revoked it",
}
"""Slurm states that the job itself did not cause."""


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended. `state`: Slurm's state, empty if unknown; `exit_code`, `signal`: 0 if unknown."""

    state: str = ""
    exit_code: int = 0
    signal: int = 0

    def __str__(self) -> str:
        if self.state != "FAILED":
            return self.state
        if self.signal or self.exit_code > 128:
            return f"FAILED, signal {self.signal or self.exit_code - 128}"
        return f"FAILED, exit code {self.exit_code}" if self.exit_code else "FAILED"


def outcome_from_scontrol(shown: str) -> JobOutcome | None:
    """Parse `scontrol show job <id>`; None if Slurm has forgotten the job, as it does after some minutes."""
    state = re.search(r"\bJobState=(\w+)", shown)
    return JobOutcome(state[1], *_parse_exit_code(re.search(r"\bExitCode=(\d+):(\d+)", shown))) if state else None


def outcome_from_sacct(shown: str) -> JobOutcome | None:
    """Parse `sacct -X -P -n -o State,ExitCode -j <id>`; of several lines (requeued jobs) the last counts."""
    lines = [line.split("|") for line in shown.splitlines() if "|" in line]
    if not lines:
        return None
    state, exit_code = lines[-1][0], lines[-1][-1]
    return JobOutcome(state.split(" ")[0].rstrip("+"), *_parse_exit_code(re.match(r"(\d+):(\d+)", exit_code)))


def outcome_from_message(message: str) -> JobOutcome | None:
    """Parse the executor's error message about a failed job; None if it names no state."""
    if "sbatch failed" in message or "submission failed" in message or "failed array sbatch" in message:
        return JobOutcome(NOT_SUBMITTED)
    state = re.search(r"SLURM status is: '(\w+)", message)
    return JobOutcome(state[1]) if state else None


def suggest_remedy(rule: str, outcome: JobOutcome, requested: Mapping[str, Any], log: str, message: str = "") -> str:
    """One sentence: what ended the job, and what to change.

    `requested`: the job's resources (`mem_mb`, `runtime` in minutes); `log`: the end of its logs; `message`: the error
    message of Snakemake or of the executor.
    """
    brainuad_error = find_brainuad_error(log)
    if outcome.state == NOT_SUBMITTED:
        reason = re.search(r"error message was '?(.*?)'?\.?(?:\n|$)", message)
        shown = reason[1] if reason else "see above"
        return f"Slurm refused it ({shown}): correct the profile's partition, account or sizes"
    if outcome.state == "TIMEOUT":
        return f"it reached its time limit: {_request_more(rule, 'runtime', requested, 'minutes')}"
    if outcome.state == "OUT_OF_MEMORY" or (not brainuad_error and OUT_OF_MEMORY.search(log)):
        more = _request_more(rule, "mem_mb", requested, "MB")
        return f"it needed more memory than it requested: {more}, or raise `retries`"
    if outcome.state in EXTERNAL_CAUSES:
        return f"{EXTERNAL_CAUSES[outcome.state]}: {RUN_AGAIN}, and the study goes on"
    if brainuad_error:
        return brainuad_error
    if GPU_OUT_OF_MEMORY.search(log):
        return "the GPU's memory was too small: give the model a smaller batch, or name a larger GPU in the profile"
    if not outcome.state and "SIGKILL" in message:
        return f"it was killed, most often because no memory was left: {RUN_AGAIN} with fewer `--cores`"
    if outcome.signal == 9 or outcome.exit_code == 137:
        return f"it was killed, most often for its memory: {_request_more(rule, 'mem_mb', requested, 'MB')}"
    if ENVIRONMENT_MISSING.search(log):
        return f"a program or package is missing where it ran: activate the environment, and {RUN_AGAIN}"
    if outcome.state == "COMPLETED" or OUTPUT_MISSING.search(log):
        return (
            f"it succeeded, but its files did not appear in time: raise `latency-wait` in the profile, and {RUN_AGAIN}"
        )
    return f"{READ_LOG}; if the fault was the machine's, {RUN_AGAIN}"


def find_brainuad_error(log: str) -> str:
    """The last BrainuadError in a log, with its remedy; empty if there is none."""
    errors = re.findall(r"^error: (.+)\n((?:  (?:file|why|do) .*\n?)*)", log + "\n", re.MULTILINE)
    if not errors:
        return ""
    what, details = errors[-1]
    remedy = re.search(r"^  do +(.+)$", details, re.MULTILINE)
    return f"{what}: {remedy[1]}" if remedy else what


def error_lines(slurm_log: str) -> list[str]:
    """The lines of a job's Slurm log that say why it ended; all lines if none does."""
    lines = [line for line in slurm_log.splitlines() if ERROR_LINE.search(line)]
    return lines or slurm_log.splitlines()


def _parse_exit_code(match: re.Match[str] | None) -> tuple[int, int]:
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _request_more(rule: str, resource: str, requested: Mapping[str, Any], unit: str) -> str:
    amount = requested.get(resource)
    where = "under `set-resources` in the profile"
    if not isinstance(amount, int | float):
        return f"give {rule} more `{resource}` {where}"
    return f"it had {amount:.0f} {unit}, write `{rule}: {resource}: {2 * amount:.0f}` {where}"
