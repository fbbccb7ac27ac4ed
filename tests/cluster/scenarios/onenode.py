"""The one-node cluster of the tests: what its queue holds, and how its daemons are killed and come back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

SCRIPTS = Path(__file__).parents[1]
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")
STARTED = time.monotonic()
Found = TypeVar("Found")


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"  [{time.monotonic() - STARTED:4.0f} s] {text}\n")


def wait_for(what: str, ask: Callable[[], Found], seconds: float = 120) -> Found:
    """The first answer that is true; fails when the time is up."""
    end = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.3)
    return found


@dataclass(frozen=True)
class Job:
    """A job as `scontrol show job` has it."""

    number: str
    fields: dict[str, str]

    @property
    def rule(self) -> str:
        found = re.search(r"rule_([a-z_]+?)_wildcards|rule_([a-z_]+)", self.fields.get("Comment", ""))
        return "" if found is None else found[1] or found[2]

    @property
    def comment(self) -> str:
        return self.fields.get("Comment", "").strip()

    @property
    def state(self) -> str:
        return self.fields["JobState"]

    @property
    def gpus(self) -> int:
        found = re.search(r"gres[:/]gpu[:=](\d+)", self.fields.get("TresPerJob", "") + self.fields.get("TRES", ""))
        return int(found[1]) if found else 0

    @property
    def memory(self) -> str:
        return self.fields.get("MinMemoryNode", "")

    @property
    def seconds(self) -> int:
        """How long it has run."""
        hours, minutes, seconds = self.fields["RunTime"].rpartition("-")[2].split(":")
        return (int(hours) * 60 + int(minutes)) * 60 + int(seconds)

    @property
    def restarts(self) -> int:
        return int(self.fields["Restarts"])


@dataclass(frozen=True)
class Slurm:
    """The cluster that this shell speaks to; its daemons are those of a state folder of `up.sh`."""

    state: Path = Path()

    def jobs(self, folder: Path | None = None) -> list[Job]:
        """Every job that was submitted from a folder, or from anywhere, by number; none while nobody answers."""
        said = subprocess.run(["scontrol", "show", "job", "-o"], capture_output=True, text=True).stdout
        found = []
        for line in said.splitlines():
            fields = dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", line))
            if "JobId" in fields and (folder is None or fields.get("WorkDir") == str(folder)):
                found.append(Job(fields["JobId"], fields))
        return sorted(found, key=lambda job: int(job.number))

    def running(self, folder: Path, rule: str) -> Job | None:
        """The running job of a rule."""
        return next((job for job in self.jobs(folder) if job.rule == rule and job.state == "RUNNING"), None)

    def active(self, folder: Path | None = None) -> list[Job]:
        """Jobs that wait or run."""
        return [job for job in self.jobs(folder) if job.state not in ENDED]

    def kill(self, daemon: str) -> None:
        """Kill -9 one of the daemons."""
        number = int((Path((self.state / "run.path").read_text().strip()) / f"{daemon}.pid").read_text())
        assert Path(f"/proc/{number}/comm").read_text().startswith(daemon)
        os.kill(number, signal.SIGKILL)
        wait_for(f"the end of {daemon}", lambda: not _lives(number))
        say(f"{daemon} is killed")

    def restart(self) -> None:
        """Start the daemons that are gone."""
        env = {name: value for name, value in os.environ.items() if name != "SLURM_CONF"}
        subprocess.run([SCRIPTS / "up.sh", self.state], check=True, capture_output=True, env=env)
        say("the daemons are back")

    def cancel(self, *jobs: Job) -> None:
        """`scancel` them."""
        subprocess.run(["scancel", *(job.number for job in jobs)], check=True)

    def submit(self, command: str, *options: str, folder: Path) -> str:
        """A job of somebody else's; its number."""
        order = ["sbatch", "--parsable", "--output=/dev/null", f"--chdir={folder}", *options, "--wrap", command]
        return subprocess.run(order, check=True, capture_output=True, text=True).stdout.strip()


def _lives(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
