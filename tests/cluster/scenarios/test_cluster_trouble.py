"""The cluster itself is in trouble, or full: the run waits and ends as if nothing had been."""

from __future__ import annotations

import subprocess
import time

from onenode import Slurm, say, wait_for
from study import TRAIN, Workspace, whole
from test_training import start


def stay_away(slurm: Slurm, daemon: str, seconds: float, study: Workspace) -> None:
    """Kill a daemon, start it again after a while in which the run goes on, and let the run end."""
    slurm.kill(daemon)
    try:
        time.sleep(seconds)
        assert study.started[-1].poll() is None, study.log()[-4000:]
    finally:
        slurm.restart()
    study.finish()


def test_the_controller_is_killed_and_comes_back(prepared, reference, slurm):
    job = start(prepared, slurm)
    stay_away(slurm, "slurmctld", 40, prepared)
    (after,) = slurm.jobs(prepared.folder)
    assert (after.number, after.restarts, after.state) == (job.number, 0, "COMPLETED")
    whole(prepared, reference)


def test_a_node_is_away_for_a_minute(prepared, reference, slurm):
    start(prepared, slurm)
    stay_away(slurm, "slurmd", 60, prepared)
    assert slurm.jobs(prepared.folder)[-1].state == "COMPLETED"
    whole(prepared, reference)


def test_accounts_are_asked_and_their_database_is_away(prepared, reference, slurm):
    """With `sacct` in place of `squeue`; the training ends while nobody answers."""
    start(prepared, slurm, "--brainuad-slurm-status-command", "sacct")
    stay_away(slurm, "slurmdbd", 60, prepared)
    whole(prepared, reference)


def test_a_full_partition(prepared, reference, slurm):
    blocker = slurm.submit("sleep 1000", "--cpus-per-task=2", "--mem=100", folder=prepared.folder.parent)
    try:
        run = prepared.start(TRAIN)
        wait_for("a job that waits", lambda: [job for job in slurm.jobs(prepared.folder) if job.state == "PENDING"])
        say("the job waits")
        time.sleep(10)
        assert run.poll() is None, prepared.log()[-4000:]
    finally:
        subprocess.run(["scancel", blocker], check=True)
    prepared.finish()
    whole(prepared, reference)
