"""The follower beside a run of Snakemake: whatever becomes of it, the run goes on."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest
from mlflow import MlflowClient

from brainuad.resources.live import shown_live
from brainuad.track import beside_run
from brainuad.track.beside_run import BesideRun
from brainuad.track.experiment import Destination

ABOUT = {"stage": "train", "tags": {"study": "demo", "model": "ae", "seed": "0"}, "settings": {}, "seed": 0}
NOBODY = "http://user:secret@127.0.0.1:1"
PATIENCE = 60.0


def wait_for(path: Path, words: str) -> str:
    end = time.monotonic() + PATIENCE
    while words not in (text := path.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    return text


def test_it_follows_until_the_run_ends_and_looks_once_more(results):
    over = Event()
    thread = Thread(target=beside_run.follow, args=(results / "demo", None, over))
    thread.start()
    with shown_live(results / "demo/train/ae/seed-0", ABOUT, ()):
        over.set()
        thread.join(PATIENCE)
    client = MlflowClient(tracking_uri=Destination(results / "mlflow").tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    assert (run.info.run_name, run.info.status) == ("ae/seed-0", "RUNNING")


def test_a_server_that_is_away_neither_ends_nor_delays_the_run(tmp_path, capfd):
    with shown_live(tmp_path / "demo/train/ae/seed-0", ABOUT, ()):
        beside = BesideRun(tmp_path / "demo", NOBODY, wanted=True)
        beside.start()
        process = beside._process
        said = wait_for(tmp_path / "demo" / beside_run.LOG, "tried again")
        started = time.monotonic()
        beside.stop()
        assert time.monotonic() - started < 1
    assert process is not None
    assert process.wait(PATIENCE) == 0, "it ends when the run does"
    assert "Traceback" not in said
    assert "secret" not in said
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python"])
def test_a_process_that_fails_is_one_warning(tmp_path, monkeypatch, capfd, python):
    monkeypatch.setattr(sys, "executable", python)
    beside = BesideRun(tmp_path / "demo", None, wanted=True)
    beside.start()
    if beside._process is not None:
        beside._process.wait(PATIENCE)
    beside.stop()
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith("warning")


def test_nothing_is_started_that_nobody_asked_for(tmp_path):
    beside = BesideRun(tmp_path / "demo", None, wanted=False)
    beside.start()
    beside.stop()
    assert list(tmp_path.iterdir()) == []
