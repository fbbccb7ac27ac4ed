"""A study with one training, `ae` with seed 0, as its files show it while it runs, and its runs in MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from brainuad.formats import run as run_record
from brainuad.formats.missing import Missing
from brainuad.resources import live, recording
from brainuad.resources.live import CurveFile, shown_live
from brainuad.track import views
from brainuad.track.experiment import Destination
from brainuad.track.follower import Follower
from brainuad.track.run_import import import_study
from brainuad.track.tracked_run import Training

SETTINGS = {"family": "autoencoder", "train": {"lr": 0.1, "steps": 30}}
PLACE = "demo/train/ae/seed-0"
BEGAN = 1_700_000_000.5


SERVER = "server.txt"
"""In a results folder: the address of the MLflow server that takes its runs, instead of the database."""


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
    named = folder.parent / SERVER
    return Destination(folder.parent / "mlflow", named.read_text() if named.exists() else None)


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


def whole_life(results: Path) -> None:
    """A training is followed to its end, and imported with its study: one run, each point once."""
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
    assert list((results / "mlflow/artifacts").glob(f"*/{run.info.run_id}/artifacts/figures/loss.png"))
