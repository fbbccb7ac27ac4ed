"""The end of a Slurm job, played by commands that answer in its place."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training import COMPUTE, neural, stored

from brainuad.cluster import allocation, stop_monitor
from brainuad.cluster.allocation import Allocation
from brainuad.cluster.slurm_commands import SlurmCommandError
from brainuad.cluster.stop_monitor import StopMonitor
from brainuad.formats import run
from brainuad.train.training import train

SQUEUE = """
case "$*" in
  "-h -j 17 -o %L") cat "{folder}/left" ;;
  "-h -j 17 -o %k") cat "{folder}/comment" ;;
esac
"""
SCONTROL = """
case $1 in
  show) echo "JobId=17 JobName=x"; echo "   Requeue=1 Restarts=3 BatchFlag=1" ;;
  requeue) echo "$2" >> "{folder}/requeued"; cat "{folder}/refusal" >&2 2>/dev/null && exit 1; exit 0 ;;
esac
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder of answers, and a job that asks."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, answer in (("squeue", SQUEUE), ("scontrol", SCONTROL)):
        script = folder / name
        script.write_text("#!/bin/sh\n" + answer.format(folder=folder) + "\n")
        script.chmod(0o755)
    (folder / "left").write_text("1:00:00\n")
    (folder / "comment").write_text("rule_train_wildcards_dae_0\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    return folder


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("59:30", 3570), ("2:00:01", 7201), ("1-02:03:04", 93784), ("0:00", 0), ("UNLIMITED", math.inf)],
)
def test_the_time_left_is_what_squeue_says(slurm, said, seconds):
    (slurm / "left").write_text(f"{said}\n")
    assert allocation.query_seconds_left("17") == seconds
    found = allocation.current_allocation()
    assert (found.job_id, found.restart_count()) == ("17", 3)
    assert found.seconds_left() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("said", ["INVALID", "NOT_SET", "", "slurm_load_jobs error: Invalid job id"])
def test_a_limit_that_squeue_does_not_tell_is_asked_for_again(slurm, said, monkeypatch):
    (slurm / "left").write_text(said)
    monitor = StopMonitor(allocation.current_allocation())
    assert monitor.allocation == Allocation("17", end_time=None)
    assert not monitor.should_stop()
    (slurm / "left").write_text("0:30\n")
    assert not monitor.should_stop(), "not at each step"
    monkeypatch.setattr(stop_monitor, "LIMIT_QUERY_SECONDS", -1.0)
    assert not monitor.should_stop()
    assert monitor.allocation.seconds_left() == pytest.approx(30, abs=2)
    assert monitor.margin_seconds == pytest.approx(7.5, abs=0.5), "a quarter of the time that it is known to have"
    monitor.allocation = ending(1)
    (slurm / "left").write_text("0:01\n")
    assert monitor.should_stop()


def test_a_job_without_a_limit_is_not_asked_about_again(slurm, monkeypatch):
    (slurm / "left").write_text("UNLIMITED\n")
    monitor = StopMonitor(allocation.current_allocation())
    (slurm / "left").write_text("0:30\n")
    monkeypatch.setattr(stop_monitor, "LIMIT_QUERY_SECONDS", -1.0)
    assert not monitor.should_stop()
    assert monitor.allocation.seconds_left() == math.inf


def test_without_slurm_there_is_no_allocation(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert allocation.current_allocation() is None
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("PATH", "/nowhere")
    assert allocation.current_allocation() == Allocation("17", end_time=None)
    with pytest.raises(SlurmCommandError, match="scontrol"):
        allocation.current_allocation().requeue()


def ending(seconds: float) -> Allocation:
    return Allocation("17", time.monotonic() + seconds)


def test_work_stops_a_minute_before_the_limit_or_earlier_where_steps_are_long(slurm):
    (slurm / "left").write_text("0:59\n")
    monitor = StopMonitor(ending(3600))
    assert monitor.margin_seconds == 60
    assert not monitor.should_stop()
    monitor.record_checkpoint(10.0)
    monitor.record_step(1, 40.0)
    assert monitor.margin_seconds == 150
    monitor.allocation = ending(151)
    assert not monitor.should_stop()
    monitor.allocation = ending(149)
    assert monitor.should_stop()


def test_a_short_job_is_used_for_most_of_its_time():
    assert StopMonitor(ending(120)).margin_seconds == pytest.approx(30, abs=0.1)
    slow = StopMonitor(ending(120))
    slow.record_step(1, 100.0)
    assert slow.margin_seconds == pytest.approx(60, abs=0.1)


def test_a_limit_that_was_moved_is_seen_before_the_work_stops(slurm):
    monitor = StopMonitor(ending(3600))
    monitor.allocation = ending(1)
    (slurm / "left").write_text("2:00:00\n")
    assert not monitor.should_stop()
    assert monitor.allocation.seconds_left() > 7000


def test_work_before_the_limit_is_requeued(slurm):
    monitor = StopMonitor(ending(3600))
    monitor.record_step(41, 0.1)
    monitor._handle_signal(signal.SIGUSR1, None)
    assert monitor.should_stop()
    ended = monitor.stop_error("the training")
    assert (slurm / "requeued").read_text() == "17\n"
    assert (
        ended.what
        == "the training stopped at step 41 before the limit of job 17, which starts again: " + stop_monitor.RESUMES
    )


def test_a_refused_requeue_is_said_with_its_reason(slurm):
    (slurm / "refusal").write_text("Requested operation is presently disabled for job 17\n")
    monitor = StopMonitor(ending(3600))
    monitor.record_step(41, 0.1)
    monitor._handle_signal(signal.SIGUSR1, None)
    ended = monitor.stop_error("the training")
    assert "Slurm does not requeue" in ended.what
    assert ended.why == "Requested operation is presently disabled for job 17"
    assert "retries" in ended.do
    assert "runtime" in ended.do


@pytest.mark.parametrize("comment", ["(null)", "my own night's work", ""])
def test_a_job_that_snakemake_did_not_make_is_not_requeued(slurm, comment):
    (slurm / "comment").write_text(f"{comment}\n")
    monitor = StopMonitor(ending(3600))
    monitor.record_step(41, 0.1)
    monitor._handle_signal(signal.SIGUSR1, None)
    ended = monitor.stop_error("the training")
    assert not (slurm / "requeued").exists()
    assert ended.what == "the training stopped at step 41 before the limit of job 17"
    assert ended.do == f"type the same command again: {stop_monitor.RESUMES}"


def test_a_job_whose_comment_slurm_does_not_tell_is_not_requeued(slurm):
    (slurm / "comment").unlink()
    monitor = StopMonitor(ending(3600))
    monitor.record_step(41, 0.1)
    monitor._handle_signal(signal.SIGUSR1, None)
    ended = monitor.stop_error("the training")
    assert not (slurm / "requeued").exists()
    assert "Slurm does not requeue" in ended.what


def test_a_job_without_progress_is_not_requeued_for_ever(slurm):
    monitor = StopMonitor(allocation.current_allocation())
    monitor.record_resume(40)
    monitor._handle_signal(signal.SIGUSR1, None)
    ended = monitor.stop_error("the training")
    assert not (slurm / "requeued").exists()
    assert "requeued 3 times, made no step" in ended.why
    assert "runtime" in ended.do


def test_scancel_is_not_answered_with_a_requeue(slurm):
    monitor = StopMonitor(allocation.current_allocation())
    monitor.record_step(41, 0.1)
    monitor._handle_signal(signal.SIGTERM, None)
    monitor._handle_signal(signal.SIGUSR1, None)
    ended = monitor.stop_error("the training")
    assert (ended.code, (slurm / "requeued").exists()) == (143, False)
    assert "scancel" in ended.what


def test_a_warning_kills_neither_snakemake_nor_what_it_starts_and_reaches_the_watch():
    work = """
import os, signal
os.kill(os.getpid(), signal.SIGUSR1)
from brainuad.cluster.stop_monitor import stop_monitor
with stop_monitor() as monitor:
    os.kill(os.getpid(), signal.SIGUSR1)
    print(monitor.should_stop())
os.kill(os.getpid(), signal.SIGUSR1)
"""
    code = f"""
import os, signal, subprocess, sys
from brainuad.cluster.stop_monitor import ignore_slurm_warning_signals
ignore_slurm_warning_signals()
os.kill(os.getpid(), signal.SIGUSR1)
subprocess.run([sys.executable, "-c", {work!r}], check=True)
"""
    asked = {**os.environ, "SLURM_JOB_ID": "17"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=asked)
    assert done.stdout == "True\n"


CHILD = """
import json
import sys
from pathlib import Path
from brainuad.methods import registry
from brainuad.config.study import Compute
from brainuad.logs import job_log
from brainuad.train.training import train
with job_log(sys.argv[4]):
    model = registry.validate(json.loads(sys.argv[1]))
    train([Path(sys.argv[2])], model, 3, Compute(threads=1, accelerator="cpu"), Path(sys.argv[3]), {})
"""
MODEL = neural(train={"steps": 400, "validate_every": 40, "batch_size": 4})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SLURM_JOB_ID", raising=False)
        train([stored(folder / "a")], MODEL, 3, COMPUTE, folder / "out", {})
    return folder


def signalled(whole: Path, folder: Path, number: int) -> tuple[int, str]:
    """Exit status and log of a training that a signal reached after its first checkpoint."""
    log = folder / "log"
    command = [sys.executable, "-c", CHILD, MODEL.model_dump_json(), whole / "a", folder / "out", log]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(folder.glob("out/resume/*/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(number)
    return child.wait(60), log.read_text()


def same(whole: Path, out: Path) -> bool:
    names = ("arrays.safetensors", "bundle.json")
    return all((out / name).read_bytes() == (whole / "out" / name).read_bytes() for name in names)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_outside_slurm_leaves_a_checkpoint_and_says_how_to_go_on(whole, number, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    code, log = signalled(whole, tmp_path, number)
    assert code == 128 + number
    what, remedy = log.splitlines()[-2:]
    assert signal.Signals(number).name in what
    assert "type the same command again" in remedy
    assert "Traceback" not in log
    train([whole / "a"], MODEL, 3, COMPUTE, tmp_path / "out", {})
    assert run.read(tmp_path / "out/run.json")["facts"]["resumed_at_step"] > 0
    assert same(whole, tmp_path / "out")


def test_a_warning_inside_slurm_requeues_once(whole, slurm, tmp_path):
    code, log = signalled(whole, tmp_path, signal.SIGUSR1)
    assert code == 1
    assert "which starts again" in log
    assert (slurm / "requeued").read_text() == "17\n"
    train([whole / "a"], MODEL, 3, COMPUTE, tmp_path / "out", {})
    assert same(whole, tmp_path / "out")


def test_signals_are_given_back(slurm):
    before = signal.getsignal(signal.SIGTERM)
    with stop_monitor.stop_monitor() as monitor:
        assert signal.getsignal(signal.SIGTERM) == monitor._handle_signal
    assert signal.getsignal(signal.SIGTERM) == before
