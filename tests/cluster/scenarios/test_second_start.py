"""Snakemake is killed while its jobs go on, and is typed again; and two studies run at once."""

from __future__ import annotations

import os
import signal

from onenode import say, wait_for
from study import TRAIN, Workspace, assert_same, resumed_at, whole
from test_training import start, trainer_of


def refused(study: Workspace, *arguments: str) -> str:
    """What a start says that must fail at once."""
    run = study.start(*arguments)
    assert run.wait(timeout=120) != 0
    return study.said(run)


def killed_and_typed_again(study, slurm):
    """The training job that outlives its Snakemake; a new start is refused by the lock, then for the job's sake."""
    job = start(study, slurm)
    study.kill()
    say("Snakemake is killed")
    trainer = trainer_of(study.folder)
    os.kill(trainer, signal.SIGSTOP)  # on a busy machine the starts below take longer than the training
    assert "locked" in refused(study, TRAIN)
    study.run("--unlock")
    said = refused(study, TRAIN)
    assert "1 job of an earlier start in this folder still wait" in said, said[-3000:]
    assert f"scancel {job.number}" in said
    assert "Traceback" not in said
    assert len(slurm.jobs(study.folder)) == 1, "a second job for the same files"
    os.kill(trainer, signal.SIGCONT)
    return job


def test_what_outlives_snakemake_counts(prepared, reference, slurm):
    killed_and_typed_again(prepared, slurm)
    wait_for("the end of the job", lambda: not slurm.active(prepared.folder), 300)
    weights = (prepared.training / "arrays.safetensors").stat().st_mtime_ns
    prepared.complete()
    assert (prepared.training / "arrays.safetensors").stat().st_mtime_ns == weights, "trained once more"
    assert_same(prepared, reference)


def test_what_is_cancelled_after_that_goes_on(prepared, reference, slurm):
    slurm.cancel(killed_and_typed_again(prepared, slurm))
    wait_for("the end of the job", lambda: not slurm.active(prepared.folder))
    prepared.run(TRAIN)
    assert [job.state for job in slurm.jobs(prepared.folder)] == ["CANCELLED", "COMPLETED"]
    assert resumed_at(prepared) > 0
    whole(prepared, reference)


def test_after_ctrl_c_the_queue_is_empty(prepared, reference, slurm):
    start(prepared, slurm)
    prepared.started[-1].send_signal(signal.SIGINT)
    assert prepared.started[-1].wait(timeout=120) != 0
    wait_for("an empty queue", lambda: not slurm.active(prepared.folder))
    prepared.run(TRAIN)
    assert resumed_at(prepared) > 0
    whole(prepared, reference)


def test_two_studies_at_once_in_one_folder(prepared, reference):
    """They share the preprocessed scans and MLflow's store."""
    other = Workspace(prepared.folder, {**prepared.content, "study": "second"})
    studies = (prepared, other)
    try:
        for study in studies:
            study.start(TRAIN)
            wait_for("its lock", lambda: list((prepared.folder / ".snakemake/locks").glob("*")))
        for study in studies:
            study.finish()
        say("both are trained; what follows runs here, both at once")
        for study in studies:
            study.start(slurm=False)
        for study in studies:
            study.finish()
    finally:
        other.kill()
    for study in studies:
        assert_same(study, reference, tracked=("cluster", "second"))
