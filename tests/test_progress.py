"""What a run shows: one line per finished job, with the time left."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_brainuad import FOLDER_VARIABLE, LogHandler, TimeEstimate


def test_the_estimate_counts_each_rule_at_its_own_cost():
    estimate = TimeEstimate()
    estimate.jobs_left.update({"preprocess": 3, "train": 2})
    estimate.record("preprocess", 4.0)
    estimate.record("train", 60.0)
    estimate.started -= 64  # one job at a time so far
    assert estimate.seconds_left() == pytest.approx(2 * 4 + 60, rel=0.01)
    estimate.started += 32  # two at once
    assert estimate.seconds_left() == pytest.approx(34, rel=0.01)


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
