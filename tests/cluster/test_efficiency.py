"""Asked and used: what jobs note of themselves, and what is made of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from brainuad.cluster import efficiency
from brainuad.errors import InputError
from brainuad.formats import run
from brainuad.logs import job_log
from brainuad.resources import clock, recording, usage


def job(log, **changes):
    about = {
        "rule": "train",
        "wildcards": {"model": "dae"},
        "threads": 2,
        "resources": {"mem_mb": 4000, "runtime": 240},
    }
    return SimpleNamespace(log=[str(log)], **{**about, **changes})


def test_a_job_notes_what_it_used_whether_it_ends_well_or_not(tmp_path):
    study = tmp_path / "results/demo"
    with usage.record_usage(job(study / "logs/train/dae/seed-0.log")):
        sum(range(100_000))
    shared = tmp_path / "results/logs/preprocess/mri/a/sub-1.log"
    with pytest.raises(SystemExit), job_log(shared), usage.record_usage(job(shared, rule="preprocess", resources={})):
        raise InputError("a.nii is empty", do="exclude it")
    assert "a.nii is empty" in shared.read_text(encoding="utf-8")
    found = usage.read_usage(study)
    assert [each["rule"] for each in found] == ["train", "preprocess"]
    assert found[0]["requested"] == {"mem_mb": 4000, "runtime": 240}
    assert found[0]["wildcards"] == {"model": "dae"}
    assert found[0]["used"]["peak_memory_mb"] > 1
    assert found[1]["requested"] == {"mem_mb": None, "runtime": None}


def test_processes_that_run_together_count_together(tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "SAMPLE_SECONDS", 0.05)
    monkeypatch.setattr(clock, "_memory_sampler", clock._memory_sampler.__wrapped__)  # no peak of earlier tests
    alone = clock.Clock().costs()["peak_memory_mb"]
    code = "x = bytearray(b'1') * 60_000_000; print(flush=True); input()"
    study = tmp_path / "results/demo"
    with (
        usage.record_usage(job(study / "logs/download.log")),
        recording.recorded(study, run.Record("download", {}, {})),
    ):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        both = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2)]
        for each in both:
            each.stdout.readline()
        time.sleep(0.2)
        for each in both:
            each.communicate(b"\n")
    (noted,) = usage.read_usage(study)
    for used in (noted["used"], run.read(study / run.NAME)):
        assert used["peak_memory_mb"] > alone + 110


MAPS = """
import json, sys, time, numpy as np
from brainuad.resources.clock import Clock
clock = Clock()
before = clock.costs()["peak_memory_mb"]
np.load(sys.argv[1], mmap_mode="r").sum()
mapped = clock.costs()["peak_memory_mb"]
for_a_while = np.ones(12_500_000)
time.sleep(0.2)
del for_a_while
print(json.dumps([before, mapped, clock.costs()["peak_memory_mb"]]))
"""


def test_pages_of_mapped_files_are_not_counted(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros(25_000_000))
    done = subprocess.run([sys.executable, "-c", MAPS, tmp_path / "images.npy"], capture_output=True, check=True)
    before, mapped, own = json.loads(done.stdout)
    assert mapped < before + 20, "the file has 200 MB"
    assert own == pytest.approx(before + 100, abs=20)


def test_programs_that_a_job_runs_count_as_its_own(tmp_path):
    busy = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    with (
        usage.record_usage(job(tmp_path / "logs/a.log")),
        recording.recorded(tmp_path, run.Record("preprocess", {}, {})),
    ):
        subprocess.run([sys.executable, "-c", busy], check=True)
    (noted,) = usage.read_usage(tmp_path)
    for used in (noted["used"], run.read(tmp_path / run.NAME)):
        assert 0.3 <= used["cpu_seconds"] < 5


def costing(monkeypatch, seconds, memory):
    used = {"seconds": seconds, "cpu_seconds": seconds / 2, "peak_memory_mb": memory}
    monkeypatch.setattr(clock.Clock, "costs", lambda _: used)


def turn(log, fault=None, goes_on=True):
    """One turn of a job; without a fault it ends well."""
    with suppress(InputError, KeyboardInterrupt), usage.record_usage(job(log), goes_on):
        if fault is not None:
            raise fault


def test_a_record_that_a_killed_job_left_unfinished_is_skipped(tmp_path):
    turn(tmp_path / "logs/train.log")
    (tmp_path / "logs/.part-infer.usage.json-0123abcd-77t5-abcdefgh.usage.json").touch()
    assert [each["rule"] for each in usage.read_usage(tmp_path)] == ["train"]


def test_the_largest_use_of_all_turns_counts(tmp_path, monkeypatch):
    log = tmp_path / "logs/train.log"
    for seconds, memory in ((240, 900), (14_400, 800), (200, 700)):
        costing(monkeypatch, seconds, memory)
        turn(log, InputError("stopped") if seconds > 200 else None)
    (noted,) = usage.read_usage(tmp_path)
    assert noted["used"] == {"seconds": 14_400, "cpu_seconds": 7_200, "peak_memory_mb": 900}
    assert (noted["turns"], noted["done"]) == (3, True)

    costing(monkeypatch, 60, 500)
    turn(log)
    (noted,) = usage.read_usage(tmp_path)
    assert (noted["used"]["seconds"], noted["turns"]) == (60, 1), "a new run of a job that had ended well"


def test_a_job_that_begins_anew_has_used_what_its_last_try_used(tmp_path, monkeypatch):
    """After a time-out the figures of the try that went well are wanted."""
    log = tmp_path / "logs/evaluate.log"
    for seconds, fault in ((1800, InputError("cut short")), (2400, None)):
        costing(monkeypatch, seconds, 900)
        turn(log, fault, goes_on=False)
    (noted,) = usage.read_usage(tmp_path)
    assert (noted["used"]["seconds"], noted["turns"]) == (2400, 1)


def test_a_turn_that_was_killed_counts_as_one(tmp_path, monkeypatch):
    log, write = tmp_path / "logs/train.log", usage.write_json
    calls = []
    monkeypatch.setattr(usage, "write_json", lambda *about: calls.append(about) or len(calls) > 1 or write(*about))
    turn(log)  # what it writes at its end is lost
    assert usage.read_usage(tmp_path) == [], "nothing is known of it"
    monkeypatch.setattr(usage, "write_json", write)
    turn(log)
    (noted,) = usage.read_usage(tmp_path)
    assert noted["turns"] == 2


def note(rule, memory, seconds, cpu, asked, turns=1):
    used = {"seconds": seconds, "cpu_seconds": cpu, "peak_memory_mb": memory}
    return {"rule": rule, "threads": 2, "requested": asked, "used": used, "turns": turns}


def test_no_time_is_suggested_where_the_longest_job_ran_in_turns(tmp_path):
    asked = {"mem_mb": 4000, "runtime": 240}
    jobs = [note("train", 900, 14_000, 900, asked, turns=4), note("train", 900, 600, 900, asked)]
    jobs += [note("infer", 900, 60, 90, asked, turns=2), note("infer", 900, 600, 900, asked)]
    jobs += [note("track", 900, 60, 90, {"mem_mb": None, "runtime": 60}, turns=2)]
    rows = efficiency.summarise_rules(jobs)
    assert [(row.rule, row.suggested_minutes) for row in rows] == [("infer", 15), ("track", None), ("train", None)]
    shown = efficiency.format_table(rows)
    pasted = yaml.safe_load(shown[shown.index("set-resources") :])
    assert pasted["set-resources"].keys() == {"infer", "train"}
    assert pasted["set-resources"]["train"].keys() == {"mem_mb"}
    assert "runtime as it is" in shown
    efficiency.write_table(tmp_path / efficiency.FILE_NAME, rows)


def test_the_largest_use_decides_what_to_ask_for(tmp_path):
    asked = {"mem_mb": 4000, "runtime": 240}
    jobs = [note("train", 900.5, 600, 900, asked), note("train", 1000, 60, 90, {**asked, "mem_mb": 8000})]
    jobs += [note("report", 200, 5, 5, {"mem_mb": None, "runtime": None})]
    report, train = efficiency.summarise_rules(jobs)
    assert (train.jobs, train.requested_mem_mb, train.used_mem_mb) == (2, 8000, 1000)
    assert train.suggested_mem_mb == 1700, "1.3 x 1000 and Snakemake's 400"
    assert train.suggested_minutes == 15, "1.3 x 10 and 2 for the start"
    assert train.cores_used == pytest.approx(1.5)
    assert report.requested_mem_mb is None

    efficiency.write_table(tmp_path / efficiency.FILE_NAME, [report, train])
    rows = (tmp_path / efficiency.FILE_NAME).read_text(encoding="utf-8").splitlines()
    assert rows[1].split("\t")[:4] == ["report", "1", "", "200"]

    shown = efficiency.format_table([report, train])
    assert "8000, 1000" in shown
    pasted = yaml.safe_load(shown[shown.index("set-resources") :])
    assert pasted == {"set-resources": {"train": {"mem_mb": "attempt * 1700", "runtime": "attempt * 15"}}}
