"""Trainings in MLflow while they run: what the follower writes, and what it leaves to the import at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from live_trainings import (
    BEGAN,
    PLACE,
    StoppedError,
    client,
    curves,
    destination,
    ends_well,
    look,
    runs,
    steps,
    the_run,
    track,
    turn,
    whole_life,
)
from mlflow import MlflowClient
from mlflow.entities import Run

from brainuad.formats.missing import Missing
from brainuad.resources import course, live
from brainuad.resources.live import CurveFile
from brainuad.track import experiment, follower
from brainuad.track.follower import Follower


def test_a_training_is_live_and_becomes_the_run_of_the_study(results):
    whole_life(results)


def test_what_stops_a_training_is_its_status_and_the_next_turn_goes_on(results):
    def stopped(error: BaseException) -> Run:
        with pytest.raises(type(error)), turn(results) as path:
            CurveFile(path, BEGAN, "", curves(10))
            look(results)
            assert (the_run(results).info.status, "why" in the_run(results).data.tags) == ("RUNNING", False)
            raise error
        look(results)
        return the_run(results)

    failed = stopped(ValueError("the loss is nan"))
    assert (failed.info.status, "the loss is nan" in failed.data.tags["why"]) == ("FAILED", True)
    killed = stopped(StoppedError("stopped at step 12"))
    assert (killed.info.status, killed.info.run_id) == ("KILLED", failed.info.run_id)
    with turn(results) as path:
        look(results)
        assert the_run(results).info.status == "RUNNING"
        CurveFile(path, BEGAN, "", curves(10)).append(curves(20))
        os.utime(results / PLACE / live.NAME, (1, 1))  # its machine has gone
        look(results)
        assert (the_run(results).info.status, "sign of life" in the_run(results).data.tags["why"]) == ("KILLED", True)
    assert steps(results) == [10, 20]


def test_what_a_training_uses_is_a_course_over_time(results, monkeypatch):
    monkeypatch.setattr(course, "FIRST_SECONDS", 0.02)
    name, file = "system/memory_megabytes", results / PLACE / course.NAME

    def wait_for(lines: int) -> None:
        until = time.monotonic() + 5
        while len(course.read(file)) < lines and time.monotonic() < until:
            time.sleep(0.01)

    with pytest.raises(StoppedError), turn(results):
        wait_for(3)
        look(results)  # no checkpoint yet
        first = steps(results, name)
        raise StoppedError
    with turn(results) as path:
        CurveFile(path, BEGAN, "", curves(10))
        wait_for(len(first) + 3)
        look(results)
        assert steps(results, name)[: len(first) + 3] == list(range(len(first) + 3))
        ends_well(results)
    track(results)
    written = course.read(file)
    assert steps(results, name) == steps(results, "system/cpu_percent") == [line["step"] for line in written]
    points = client(results).get_metric_history(the_run(results).info.run_id, name)
    assert [point.timestamp for point in points] == [int(line["time"] * 1000) for line in written]
    assert all(10 < point.value < 100_000 for point in points)


def test_a_gpu_that_tells_no_utilisation_tells_its_memory(tmp_path, monkeypatch):
    def refused(number: int) -> int:
        raise type("NVMLError", (Exception,), {})(number)

    cuda = {"is_initialized": lambda: True, "device_count": lambda: 1, "memory_reserved": lambda _: 5 * 2**20}
    torch = SimpleNamespace(cuda=SimpleNamespace(**cuda, utilization=refused))
    monkeypatch.setitem(sys.modules, "torch", torch)
    answers = iter([False, True])
    course.record(tmp_path / course.NAME, SimpleNamespace(wait=lambda _: next(answers)))
    (line,) = course.read(tmp_path / course.NAME)
    assert line["used"]["gpu_0_memory_megabytes"] == 5
    assert "gpu_0_percent" not in line["used"]


def test_what_is_used_is_told_while_torch_is_still_being_imported(tmp_path, monkeypatch):
    for torch in (SimpleNamespace(), SimpleNamespace(cuda=SimpleNamespace())):
        monkeypatch.setitem(sys.modules, "torch", torch)
        answers = iter([False, True])
        course.record(tmp_path / course.NAME, SimpleNamespace(wait=lambda _, left=answers: next(left)))
    assert [set(line["used"]) for line in course.read(tmp_path / course.NAME)] == [
        {"cpu_percent", "memory_megabytes"}
    ] * 2


def test_a_follower_or_an_import_that_dies_anywhere_leaves_nothing_half(results, monkeypatch):
    def dies(call: str, what: Callable[[Path], None]) -> None:
        def die(*_: object, **__: object) -> None:
            raise StoppedError

        with monkeypatch.context() as patch, pytest.raises(StoppedError):
            patch.setattr(MlflowClient, call, die)
            what(results)
        what(results)

    with turn(results) as path:
        file = CurveFile(path, BEGAN, "", curves(10))
        dies("get_run", look)  # the run is there, and has nothing yet
        file.append(curves(20))
        dies("log_batch", look)
        assert steps(results) == [10, 20]
        ends_well(results)
    dies("set_terminated", look)
    assert the_run(results).info.status == "FINISHED"
    dies("log_inputs", track)
    assert steps(results) == [10, 20, 30]
    assert the_run(results).data.params["train.lr"] == "0.1"
    assert the_run(results).info.status == "FINISHED"


def test_two_followers_and_the_import_make_one_run(results):
    with turn(results) as path:
        file = CurveFile(path, BEGAN, "", curves(10))
        both = [Follower(destination) for _ in range(2)]
        for reached in (10, 20):
            file.append(curves(reached))
            threads = [threading.Thread(target=each.look, args=(results / "demo",)) for each in both]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        ends_well(results)
    both[0].look(results / "demo")
    track(results)
    both[1].look(results / "demo")
    assert steps(results) == [10, 20, 30]


def test_a_server_that_is_away_is_one_warning_and_loses_nothing(results, caplog):
    database = results / "mlflow" / experiment.DATABASE
    with turn(results) as path:
        one = Follower(destination)
        file = CurveFile(path, BEGAN, "", curves(10))
        one.look(results / "demo")
        database.rename(results / "away")
        database.write_bytes(b"x" * 4000)
        file.append(curves(20))
        one.look(results / "demo")
        one.look(results / "demo")
        assert [each.name for each in caplog.records] == [follower.__name__]
        (results / "away").rename(database)
        one.look(results / "demo")
        assert steps(results) == [10, 20]


def test_a_job_that_is_requeued_before_its_first_checkpoint_is_one_run(results):
    for began in (BEGAN, BEGAN + 60):
        with turn(results) as path:
            CurveFile(path, began, "", [])
            look(results)
    with turn(results) as path:
        CurveFile(path, BEGAN + 60, "", curves(10))
        look(results)
    assert steps(results) == [10]


def test_a_training_that_was_thrown_away_keeps_its_curve_until_the_study_ends(results):
    with turn(results) as path:
        CurveFile(path, BEGAN, "", curves(20))
        look(results)
    with turn(results) as path:
        CurveFile(path, BEGAN + 60, "", curves(10))
        look(results)
        by_status = {run.info.status: run for run in runs(results)}
        assert by_status.keys() == {"KILLED", "RUNNING"}
        assert steps(results, run=by_status["KILLED"]) == [10, 20]
        assert steps(results, run=by_status["RUNNING"]) == [10]
        ends_well(results, began=BEGAN + 60)
    track(results)
    assert the_run(results).info.run_id == by_status["RUNNING"].info.run_id


def test_a_run_deleted_by_hand_stays_away_until_the_study_ends(results):
    with turn(results) as path:
        CurveFile(path, BEGAN, "", curves(10))
        look(results)
        client(results).delete_run(the_run(results).info.run_id)
        CurveFile(path, BEGAN, "", curves(20))
        look(results)
        assert runs(results) == []
        ends_well(results)
    track(results)
    assert steps(results) == [10, 20, 30]
    look(results)
    assert len(runs(results)) == 1


def test_results_of_what_finished_keep_the_curve_of_what_failed(results):
    with pytest.raises(ValueError, match="nan"), turn(results) as path:
        CurveFile(path, BEGAN, "", curves(20))
        look(results)
        raise ValueError("nan")
    look(results)
    track(results, [Missing("ae", "0", "ms", "train", "", "the loss is nan", "")])
    assert the_run(results).info.status == "FAILED"
    track(results, [Missing("other", "0", "ms", "train", "", "", "")])
    assert runs(results) == []


def test_imported_studies_are_not_imported_again(results, monkeypatch):
    ends_well(results)
    track(results)
    tracking, run_id = client(results), the_run(results).info.run_id
    tracking.delete_tag(run_id, experiment.BEGAN)  # as an earlier version left it
    look(results)
    assert the_run(results).info.run_id == run_id
    (results / "demo" / follower.MARK).touch()
    monkeypatch.setattr(follower, "opened", None)
    look(results)
