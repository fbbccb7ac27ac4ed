"""What a run shows: one line per finished job, with the time left."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_brainuad import Estimate, LogHandler, in_words


def test_times_are_said_roughly():
    assert [in_words(s) for s in (3, 44, 130, 5400 + 8 * 60)] == ["10 s", "40 s", "2 min", "1 h 38 min"]


def test_the_estimate_counts_each_rule_at_its_own_cost():
    estimate = Estimate()
    estimate.left.update({"preprocess": 3, "train": 2})
    estimate.finished("preprocess", 4.0)
    estimate.finished("train", 60.0)
    estimate.began -= 64  # one job at a time so far
    assert estimate.seconds() == pytest.approx(2 * 4 + 60, rel=0.01)
    estimate.began += 32  # two at once
    assert estimate.seconds() == pytest.approx(34, rel=0.01)


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
