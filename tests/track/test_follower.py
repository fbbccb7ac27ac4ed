"""Trainings in MLflow while they run: what the follower writes, and what it leaves to the import at the end."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from brainuad.formats import run as run_record
from brainuad.formats.missing import Missing
from brainuad.resources import live, recording
from brainuad.resources.live import CurveFile, shown_live
from brainuad.track import experiment, follower, views
from brainuad.track.experiment import Destination
from brainuad.track.follower import Follower
from brainuad.track.run_import import import_study
from brainuad.track.tracked_run import Training

SETTINGS = {"family": "autoencoder", "train": {"lr": 0.1, "steps": 30}}
PLACE = "demo/train/ae/seed-0"
BEGAN = 1_700_000_000.5


class StoppedError(Exception):
    pass


def about(settings: dict[str, Any] = SETTINGS) -> dict[str, Any]:
    tags = {"study": "demo", "model": "ae", "seed": "0"}
    return {"stage": "train", "tags": tags, "settings": settings, "seed": 0}


def curves(steps: int) -> list[list[Any]]:
    rows = [(step, name) for step in range(10, steps + 1, 10) for name in ("train_loss", "validation_loss")]
    return [[step, name, 1 / step] for step, name in rows]


@contextmanager
def turn(results: Path, settings: dict[str, Any] = SETTINGS) -> Iterator[Path]:
    """A turn of the job, and where its curves lie."""
    with shown_live(results / PLACE, about(settings), (StoppedError,)):
        path = results / PLACE / "resume" / "key" / live.CURVES
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path


def ends_well(results: Path, steps: int = 30, began: float = BEGAN) -> None:
    """What the job has written at its end."""
    record = run_record.Record("train", about()["tags"], {**SETTINGS, "cite": None}, 0, "d" * 64, curves=curves(steps))
    record.facts["parameters"] = 12
    with recording.recorded(results / PLACE, record) as made:
        made.curves = [tuple(row) for row in curves(steps)]
    path = results / PLACE / run_record.NAME
    path.write_text(path.read_text().replace('"started": ', f'"started": {began}, "x": '))
    shutil.rmtree(results / PLACE / "resume", ignore_errors=True)


def destination(folder: Path) -> Destination:
    return Destination(folder.parent / "mlflow")


def look(results: Path) -> None:
    """What a follower that starts anew does."""
    Follower(destination).look(results / "demo")


def track(results: Path, missing: list[Missing] | None = None) -> None:
    trained = [] if missing else [Training("ae", 0, "ae")]
    assert import_study("demo", results / "demo", trained, destination(results / "demo"), missing or []) is not None


def client(results: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=destination(results / "demo").tracking_uri)


def runs(results: Path, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    tracking = client(results)
    study = tracking.get_experiment_by_name("demo")
    return tracking.search_runs([study.experiment_id], run_view_type=view, order_by=["attributes.start_time"])


def the_run(results: Path) -> Run:
    (run,) = runs(results)
    return run


def steps(results: Path, name: str = "validation_loss", run: Run | None = None) -> list[int]:
    history = client(results).get_metric_history((run or the_run(results)).info.run_id, name)
    return sorted(point.step for point in history)


def test_a_training_is_live_and_becomes_the_run_of_the_study(results):
    with turn(results) as path:
        look(results)
        run = the_run(results)
        assert (run.info.status, run.info.run_name) == ("RUNNING", "ae/seed-0")
        assert run.data.params["train.lr"] == "0.1"
        assert run.data.tags["family"] == "autoencoder"
        file = CurveFile(path, BEGAN, "", curves(10))
        look(results)
        assert steps(results) == [10]
        file.append(curves(20))
        look(results)
        look(results)
        assert steps(results) == [10, 20]
        state = views.unpack(client(results).get_experiment_by_name("demo").tags[views.TAG + views.COMPARISON])
        assert {chart["metricKey"] for chart in state["compareRunCharts"]} >= {"train_loss", "validation_loss"}
        ends_well(results)
    look(results)
    assert the_run(results).info.status == "FINISHED"
    assert steps(results) == [10, 20, 30]
    track(results)
    look(results)
    whole = the_run(results)
    assert whole.info.run_id == run.info.run_id
    assert steps(results) == steps(results, "train_loss") == [10, 20, 30]
    assert whole.data.params["facts.parameters"] == "12"
    assert whole.data.tags["data"] == "d" * 64
    assert whole.data.metrics["cost/train_seconds"] >= 0
    assert (results / "mlflow/artifacts/demo" / run.info.run_id / "artifacts/figures/loss.png").exists()


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
