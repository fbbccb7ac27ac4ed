"""What became of failed jobs, from what a real Slurm said (`recorded/`), but for states that need cgroups or nodes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from brainuad.cluster import failed_jobs, job_outcome
from brainuad.cluster.job_outcome import (
    JobOutcome,
    outcome_from_message,
    outcome_from_sacct,
    outcome_from_scontrol,
    suggest_remedy,
)
from brainuad.errors import InputError
from brainuad.logs import job_log

RECORDED = Path(__file__).parent / "recorded"
# `memory_killed`: without cgroups Slurm polls memory, kills the step, and calls the job failed
STATES = {
    "completed": ("COMPLETED", "COMPLETED"),
    "failed": ("FAILED, exit code 3", "FAILED, exit code 3"),
    "killed": ("FAILED, signal 9", "FAILED, exit code 9"),
    "memory_killed": ("FAILED, signal 9", "FAILED, exit code 9"),
    "cancelled": ("CANCELLED", "CANCELLED"),
    "timeout": ("TIMEOUT", "TIMEOUT"),
    "out_of_memory": ("OUT_OF_MEMORY", "OUT_OF_MEMORY"),  # from the documented format
    "node_fail": ("NODE_FAIL", "NODE_FAIL"),  # from the documented format
}
ASKED = {"mem_mb": 4000, "runtime": 240}


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STATES)
def test_states_are_read_from_the_controller_and_from_accounting(name):
    by_controller, by_accounting = STATES[name]
    assert str(outcome_from_scontrol(recorded(f"scontrol_{name}"))) == by_controller
    assert str(outcome_from_sacct(recorded(f"sacct_{name}"))) == by_accounting


def test_a_job_that_slurm_forgot_has_no_state():
    assert outcome_from_scontrol("slurm_load_jobs error: Invalid job id specified\n") is None
    assert outcome_from_sacct("") is None
    message = "SLURM-job '4' failed, SLURM status is: 'TIMEOUT'. Detailed failure reason unavailable"
    assert outcome_from_message(message) == JobOutcome("TIMEOUT")
    assert outcome_from_message("") is None


def test_accounting_is_asked_about_a_job_that_the_controller_forgot(tmp_path, monkeypatch):
    programs = {
        "scontrol": "echo Invalid job id specified >&2; exit 1",
        "sacct": f"/bin/cat {RECORDED}/sacct_timeout.txt",
    }
    for name, program in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert failed_jobs.query_outcome("7") == JobOutcome("TIMEOUT")
    (tmp_path / "sacct").unlink()
    assert failed_jobs.query_outcome("7") is None


@pytest.mark.parametrize(
    ("state", "log", "said"),
    [
        ("OUT_OF_MEMORY", "", "`train: mem_mb: 8000`"),
        ("FAILED", "log_memory_killed", "`train: mem_mb: 8000`"),
        ("TIMEOUT", "log_timeout", "`train: runtime: 480`"),
        ("CANCELLED", "", "type the same command again"),
        ("NODE_FAIL", "", "its node failed: type the same command again"),
        ("COMPLETED", "", "latency-wait"),
        ("FAILED", "", "read its log"),
    ],
)
def test_each_end_has_its_remedy(state, log, said):
    assert said in suggest_remedy("train", JobOutcome(state), ASKED, recorded(log) if log else "")


def test_our_own_error_is_the_remedy_unless_slurm_ended_the_job(tmp_path):
    log = tmp_path / "train.log"
    with pytest.raises(SystemExit), job_log(log):
        raise InputError("there is no training scan", file="x.tsv", why="all failed", do="add subjects")
    text = log.read_text(encoding="utf-8")
    assert suggest_remedy("train", JobOutcome("FAILED", 1), ASKED, text) == "there is no training scan: add subjects"
    assert "time limit" in suggest_remedy("train", JobOutcome("TIMEOUT"), ASKED, text)


def test_a_gpu_without_memory_and_a_refused_job():
    assert "smaller batch" in suggest_remedy(
        "train", JobOutcome(), ASKED, "torch.OutOfMemoryError: CUDA out of memory. Tried"
    )
    message = (
        "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: gpux'.\n    sbatch"
    )
    refused = outcome_from_message(message)
    assert refused == JobOutcome(job_outcome.NOT_SUBMITTED)
    assert "invalid partition specified: gpux" in suggest_remedy("train", refused, ASKED, "", message)


def test_a_table_of_those_that_failed_for_good(tmp_path, monkeypatch):
    slurm = {"11": "timeout", "12": "timeout", "21": "cancelled"}
    monkeypatch.setattr(
        failed_jobs, "query_outcome", lambda job: outcome_from_scontrol(recorded(f"scontrol_{slurm[job]}"))
    )
    log = tmp_path / "a.log"
    log.write_text("step 1\n\tstep 2 \n\n", encoding="utf-8")
    run = failed_jobs.FailureRecorder()
    for job in ("11", "12"):  # two tries
        run.record_start(1, "train", {"model": "dae", "seed": "0"}, ASKED)
        run.record_failure(1, "train", [str(log), str(tmp_path / "none.log")], job)
    run.record_start(2, "infer", {"model": "dae"}, ASKED)
    run.record_failure(2, "infer", [], "21")
    run.record_start(2, "infer", {"model": "dae"}, ASKED)
    run.record_success(2)  # the second try went well

    path = failed_jobs.write_table(tmp_path, run.table())
    assert path is not None
    with path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert (row["rule"], row["wildcards"], row["slurm_job"]) == ("train", "model=dae seed=0", "12")
    assert (row["state"], row["attempts"], row["last_lines"]) == ("TIMEOUT", "2", "step 1 | step 2")
    shown = failed_jobs.format_table(run.table(), path)
    assert "1 job failed" in shown
    assert "    step 2\n    do: it reached its time limit" in shown

    assert failed_jobs.write_table(tmp_path, []) is None
    assert not path.exists()


def test_of_a_log_of_slurm_the_lines_that_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(failed_jobs, "query_outcome", lambda job: JobOutcome("FAILED", 1))
    log = tmp_path / "18.log"
    log.write_text("Execute 1 jobs...\n" + recorded("log_memory_killed") + "Elapsed time: 0:00:04\nWorkflowError:\n")
    run = failed_jobs.FailureRecorder()
    run.record_start(1, "mem", {}, {"mem_mb": 100})
    run.record_failure(1, "mem", [str(tmp_path / "mem.log"), str(log)], "18")
    (row,) = run.table()
    assert "exceeded memory limit" in row.last_lines
    assert "Elapsed" not in row.last_lines
    assert "`mem: mem_mb: 200`" in row.remedy


def test_a_job_that_was_killed_here():
    said = "CalledProcessError in file rules/train.smk: Command 'python' died with <Signals.SIGKILL: 9>."
    assert "fewer `--cores`" in suggest_remedy("train", JobOutcome(), ASKED, "", said)


def test_of_many_failures_the_first_are_shown():
    run = failed_jobs.FailureRecorder()
    for number in range(25):
        run.record_start(number, "preprocess", {"scan": f"sub-{number:02d}"}, {})
        run.record_failure(number, "preprocess", [])
    shown = failed_jobs.format_table(run.table(), None)
    assert "25 jobs failed" in shown
    assert "sub-19" in shown
    assert "sub-20" not in shown
    assert shown.endswith("and 5 more")


def test_jobs_that_ran_as_one_share_its_id(monkeypatch, tmp_path):
    monkeypatch.setattr(failed_jobs, "query_outcome", lambda job: JobOutcome("FAILED", 1))
    logs = [tmp_path / "a.log", tmp_path / "group.log"]
    logs[0].write_text("error: a.nii is empty\n  do    exclude it\n", encoding="utf-8")
    logs[1].write_text("Error in rule preprocess\n", encoding="utf-8")
    run = failed_jobs.FailureRecorder()
    run.record_start(1, "preprocess", {"scan": "a"}, {})
    run.record_start(2, "preprocess", {"scan": "b"}, {})
    run.record_group([1, 2], "7", [str(logs[1])])
    run.record_failure(1, "preprocess", [str(logs[0])])
    run.record_failure(2, "preprocess", [str(tmp_path / "b.log")])
    first, second = run.table()
    assert (first.slurm_job, first.remedy) == ("7", "a.nii is empty: exclude it")
    assert second.remedy.startswith("a job of its group failed")
