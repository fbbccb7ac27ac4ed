"""A training that is cancelled, requeued, or killed for its memory or time goes on and ends with the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from onenode import Job, Slurm, say, wait_for
from study import TRAIN, Workspace, resumed_at, whole


def start(study: Workspace, slurm: Slurm, *arguments: str) -> Job:
    """The job of a training that has just written its first checkpoint."""
    run = study.start(TRAIN, *arguments)
    wait_for("a checkpoint", lambda: study.checkpoint() or run.poll() is not None, 240)
    job = slurm.running(study.folder, "train")
    assert job is not None, f"the training was over before it could be disturbed\n{study.log()[-4000:]}"
    say(f"job {job.number} has written a checkpoint")
    return job


def same_job_again(study: Workspace, slurm: Slurm, job: Job) -> None:
    """The job was requeued, not submitted anew, and went on from its checkpoint."""
    (after,) = [found for found in slurm.jobs(study.folder) if found.rule == "train"]
    assert (after.number, after.restarts, after.state) == (job.number, 1, "COMPLETED")
    assert resumed_at(study) > 0


def requeue(slurm: Slurm, job: Job) -> None:
    """As an administrator does."""
    subprocess.run(["scontrol", "requeue", job.number], check=True)


def warn(slurm: Slurm, job: Job) -> None:
    """As Slurm does before the limit, where `--signal` is asked for: every process of the step is told."""
    subprocess.run(["scancel", "--signal=USR1", job.number], check=True)


def preempt(slurm: Slurm, job: Job) -> None:
    """A job of a partition with priority takes the node."""
    slurm.submit("sleep 5", "--partition=urgent", "--exclusive", folder=Path(job.fields["WorkDir"]))


@pytest.mark.parametrize("disturb", [requeue, warn, preempt])
def test_the_same_job_goes_on(disturb, prepared, reference, slurm):
    job = start(prepared, slurm)
    disturb(slurm, job)
    prepared.finish()
    same_job_again(prepared, slurm, job)
    whole(prepared, reference)


@pytest.mark.parametrize("asked", ["squeue", "sacct"])
def test_scancel(asked, prepared, reference, slurm):
    job = start(prepared, slurm, "--brainuad-slurm-status-command", asked)
    slurm.cancel(job)
    prepared.finish()
    assert [found.state for found in slurm.jobs(prepared.folder)] == ["CANCELLED", "COMPLETED"]
    assert resumed_at(prepared) > 0
    whole(prepared, reference)


def test_the_end_of_its_time(prepared, reference, slurm):
    """The training is held up until little of its two minutes is left."""
    job = start(prepared, slurm, "--set-resources", "train:runtime=2")
    trainer = trainer_of(prepared.folder)
    os.kill(trainer, signal.SIGSTOP)
    time.sleep(max(0, 95 - job.seconds))
    os.kill(trainer, signal.SIGCONT)
    say("the training goes on with seconds left")
    prepared.finish()
    same_job_again(prepared, slurm, job)
    whole(prepared, reference)


def test_more_memory_at_the_next_try(prepared, reference, slurm):
    """And more time, yet not more than the partition gives: such a job would wait for ever."""
    prepared.run(TRAIN, "--set-resources", "train:mem_mb=400*attempt", "train:runtime=6000*attempt")
    jobs = slurm.jobs(prepared.folder)
    assert len(jobs) > 1, "the first try was not killed"
    assert [job.fields["TimeLimit"] for job in jobs] == ["4-04:00:00"] + ["7-00:00:00"] * (len(jobs) - 1)
    assert [job.memory for job in jobs] == [f"{400 * attempt}M" for attempt in range(1, len(jobs) + 1)]
    assert [job.state for job in jobs] == ["FAILED"] * (len(jobs) - 1) + ["COMPLETED"]
    whole(prepared, reference)


def trainer_of(folder: Path) -> int:
    """The process that trains in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if len(words) > 1 and words[1].startswith(f"{folder}/") and words[1].endswith(".run_job.py"):
            return int(process.name)
    raise AssertionError("no training runs")
