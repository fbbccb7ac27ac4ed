"""What a run shows: one line per finished job, with the time left."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from brainuad.expected_costs import announce_time_left
from brainuad.resources.time_left import Machine, Progress, Task, TimeLeft
from snakemake_logger_plugin_brainuad import FOLDER_VARIABLE, LogHandler


def made_up_run(speed: dict[str, float]) -> tuple[dict[int, Task], list[tuple[float, float, int]]]:
    """A run of 52 jobs on two cores, one stage after the other, and the start, end and number of each job.

    `speed`: of a rule, how many times as long as expected its jobs take.
    """
    expected = {"preprocess": (20, 8.0), "train": (2, 200.0), "infer": (10, 5.0), "evaluate": (20, 3.0)}
    tasks: dict[int, Task] = {}
    jobs, free, before = [], [0.0, 0.0], ()
    for rule, (count, seconds) in expected.items():
        numbers = tuple(range(len(tasks), len(tasks) + count))
        ready = max(free)
        for number in numbers:
            core = free.index(min(free))
            start = max(free[core], ready)
            free[core] = start + seconds * speed[rule]
            tasks[number] = Task(rule, seconds=seconds, needs=before)
            jobs.append((start, free[core], number))
        before = numbers
    return tasks, jobs


@pytest.mark.parametrize(
    "speed",
    [
        {"preprocess": 1, "train": 1, "infer": 1, "evaluate": 1},
        {"preprocess": 3, "train": 3, "infer": 3, "evaluate": 3},
        {"preprocess": 2, "train": 2.2, "infer": 1.2, "evaluate": 2},
        {"preprocess": 0.4, "train": 0.5, "infer": 0.3, "evaluate": 0.6},
    ],
    ids=["as_expected", "slow", "uneven", "fast"],
)
def test_the_time_left_is_right_within_a_factor_from_the_tenth_job_on(speed):
    tasks, jobs = made_up_run(speed)
    end = max(end for _, end, _ in jobs)
    left, done = TimeLeft(tasks, Machine(2), 0.0), 0
    for now in sorted({0.0, *(end for _, end, _ in jobs)}):
        for start, end_of_job, number in jobs:
            if end_of_job == now:
                left.finish(number, now)
                done += 1
            elif start == now:
                left.start(number, tasks[number].rule, now)
        if 10 <= done < len(jobs):
            assert 1 / 1.5 < left.seconds_left(now) / (end - now) < 1.5, (done, now)


def test_a_training_that_says_how_far_it_is_corrects_the_estimate():
    tasks = {0: Task("train", "ae", 1000), 1: Task("train", "ae", 1000)}
    left = TimeLeft(tasks, Machine(1), 0.0, lambda job, start: Progress(0.5, 0.5, since=0.0, at=50.0))
    left.start(0, "train", 0.0)
    assert left.seconds_left(50.0) == pytest.approx(50 + 100, rel=0.5)
    silent = TimeLeft(tasks, Machine(1), 0.0)
    silent.start(0, "train", 0.0)
    assert silent.seconds_left(50.0) > 1000


def test_cores_gpus_and_files_keep_jobs_waiting():
    four = {number: Task("train", seconds=100, gpus=1) for number in range(4)}
    assert TimeLeft(four, Machine(4), 0.0).seconds_left(0.0) == pytest.approx(100)
    assert TimeLeft(four, Machine(4, gpus=1), 0.0).seconds_left(0.0) == pytest.approx(400)
    wide = {number: Task("infer", seconds=100, threads=8) for number in range(2)}
    assert TimeLeft(wide, Machine(4), 0.0).seconds_left(0.0) == pytest.approx(200)
    chain = {number: Task("infer", seconds=100, needs=(number - 1,) if number else ()) for number in range(3)}
    assert TimeLeft(chain, Machine(4), 0.0).seconds_left(0.0) == pytest.approx(300)


def test_what_needs_the_files_of_a_failed_job_is_not_waited_for():
    tasks = {0: Task("train", seconds=50), 1: Task("infer", seconds=1000, needs=(0,)), 2: Task("train", seconds=70)}
    left = TimeLeft(tasks, Machine(1), 0.0)
    left.start(0, "train", 0.0)
    assert left.seconds_left(0.0) == pytest.approx(1120)
    left.fail(0)
    assert left.seconds_left(0.0) == pytest.approx(70)
    left.start(0, "train", 0.0)
    assert left.seconds_left(0.0) == pytest.approx(1120)


def test_elsewhere_as_many_jobs_run_at_once_as_finished_ones_tell():
    left = TimeLeft({number: Task("infer", seconds=30) for number in range(30)}, Machine(None), 0.0)
    for number in range(10):
        left.start(number, "infer", 0.0)
        left.finish(number, 30.0)
    assert left.seconds_left(30.0) == pytest.approx(60)


def test_failed_jobs_are_shown_at_the_end_and_kept(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    log = tmp_path / "train.log"
    log.write_text("error: there is no training scan\n  do    add subjects\n", encoding="utf-8")
    error = {"jobid": 3, "rule_name": "train", "log": [str(log)], "aux": {}, "rule_msg": None}
    shown = {"msg": "", "input": [], "output": [], "conda_env": None, "shellcmd": None}
    started = {"jobid": 3, "rule_name": "train", "wildcards": {"model": "dae"}, "resources": {"mem_mb": 100}}

    def run(*records):
        handler = LogHandler(SimpleNamespace(dryrun=False), None)
        if records:
            records = ((LogEvent.JOB_STARTED, logging.INFO, {"jobs": [3]}), *records)
        for event, level, fields in ((LogEvent.RUN_INFO, logging.INFO, {"stats": {"train": 1}}), *records):
            record = logging.LogRecord("snakemake", level, "", 0, "", None, None)
            record.__dict__.update(fields, event=event)
            handler.emit(record)
        handler.close()
        return capsys.readouterr().err

    text = run((LogEvent.JOB_INFO, logging.INFO, started), (LogEvent.JOB_ERROR, logging.ERROR, {**error, **shown}))
    assert "do: there is no training scan: add subjects" in text
    assert "model=dae" in (tmp_path / "failed_jobs.tsv").read_text(encoding="utf-8")
    assert run() == "", "a run that was refused before its first job"
    assert "model=dae" in (tmp_path / "failed_jobs.tsv").read_text(encoding="utf-8")
    assert "failed" not in run((LogEvent.JOB_INFO, logging.INFO, started), (LogEvent.JOB_FINISHED, 20, {"job_id": 3}))
    assert not (tmp_path / "failed_jobs.tsv").exists()


def test_a_line_per_job_and_errors_in_full(capsys):
    handler = LogHandler(SimpleNamespace(dryrun=False), None)

    def log(event, level=logging.INFO, **fields):
        record = logging.LogRecord("snakemake", level, "", 0, fields.pop("msg", ""), None, None)
        record.__dict__.update(fields, event=event)
        handler.emit(record)

    log(LogEvent.RUN_INFO, stats={"infer": 2, "total": 2})
    log(LogEvent.JOB_INFO, jobid=7, rule_name="infer", wildcards={"model": "zscore_atlas", "seed": "0"})
    log(LogEvent.JOB_FINISHED, job_id=7)
    log(LogEvent.PROGRESS, done=1, total=2)
    log(None, msg="Nothing to be done (all requested files are present and up to date).")
    log(None, msg="Building DAG of jobs...")
    log(None, level=logging.ERROR, msg="something broke")
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "[1 of 2, about 10 s left] infer zscore_atlas 0"
    assert shown[1].startswith("Nothing to be done")
    assert shown[2:] == ["something broke"]


def test_a_run_goes_on_where_the_time_left_cannot_be_worked_out():
    class OfAnotherVersion:
        @property
        def dag(self):
            raise AttributeError("no graph of jobs")

    run: list[TimeLeft] = []
    said: list[str] = []
    announce_time_left(None, OfAnotherVersion(), run, said.append)
    assert run == []
    (warning,) = said
    assert "time left" in warning
    assert "no graph of jobs" in warning
