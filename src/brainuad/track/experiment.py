"""The experiment of a study in MLflow: where its runs are found, made and written.

Only a process that holds the lock of the tracking folder writes (`opened`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from brainuad.errors import InputError
from brainuad.track import views
from brainuad.track.live_training import LiveTraining
from brainuad.track.schema import check_database
from brainuad.track.tracked_run import SYSTEM, Point

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE, ARTIFACTS, LOCK = "mlflow.db", "artifacts", ".lock"
HASH = "brainuad.hash"
"""Tag of a complete run: hash of all that it was made from."""
LIVE, BEGAN = "brainuad.live", "brainuad.began"
"""Tags of the run of a training that is not imported as a whole yet: the hash of its settings, and the start of its
first turn in ms, empty until that is known."""
METRICS_AT_ONCE, AT_ONCE = 800, 100
"""Metrics, and params or tags, in one batch; MLflow takes 1000 of all together."""
LONGEST_PARAM, LONGEST_TAG = 6000, 8000
MLFLOW_SETTINGS = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True)
class Destination:
    """Where runs are imported to: the http(s) server `uri`; without one, a SQLite file in `folder`, made here."""

    folder: Path
    uri: str | None = None

    @property
    def tracking_uri(self) -> str:
        """As MLflow's client takes it."""
        return self.uri or f"sqlite:///{(self.folder / DATABASE).resolve()}"

    @property
    def shown(self) -> str:
        """For people, without a password."""
        return _without_password(self.uri, self.uri) if self.uri else str(self.folder)

    def artifacts(self, study: str) -> Path | None:
        """Where the files of a study's runs are written; None where a server takes them."""
        return None if self.uri else self.folder / ARTIFACTS / study


class ImportFailedError(InputError):
    """The server is unavailable or refuses, or the database cannot be used."""


@contextlib.contextmanager
def opened(study: str, to: Destination) -> Iterator[Experiment]:
    """The experiment of a study, made if need be, locked for this process: two would both miss a run and create it.

    Raises ImportFailedError where the server or the database does not take it; nothing else of MLflow's.
    """
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)  # mlflow reads them as it is imported
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _locked(to.folder):
            if to.uri is None:
                check_database(to.folder / DATABASE)
            yield Experiment(MlflowClient(tracking_uri=to.tracking_uri), study, to.artifacts(study))
    except InputError as error:
        why = f"{error.what}: {error.why}"
        raise ImportFailedError(
            f"{study} was not imported into MLflow", file=error.file, why=why, do=error.do
        ) from None
    except (MlflowException, SQLAlchemyError, OSError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line for line in lines if "Error)" in line), lines[0])  # SQLAlchemy has advice above it
        why = _without_password(reason, to.uri)[:300]
        raise ImportFailedError(f"{study} was not imported into MLflow", why=why) from None


class Experiment:
    """The runs of a study. `artifacts`: as of the destination."""

    def __init__(self, client: MlflowClient, study: str, artifacts: Path | None):
        self.client, self.study, self.artifacts = client, study, artifacts
        self.id = self._id()

    def search(self, where: str, *, deleted: bool = False, most: int = 50_000) -> list[Run]:
        """Runs by MLflow's query, the first started first. `deleted`: also those that somebody deleted."""
        from mlflow.entities import ViewType

        view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
        return list(self.client.search_runs([self.id], where, view, most, ["attributes.start_time ASC"]))

    def create(self, name: str, start: int, tags: Mapping[str, str]) -> str:
        """A new run; its id. `start`: ms since 1970."""
        return str(self.client.create_run(self.id, start, dict(tags), name).info.run_id)

    def live_runs(self) -> list[Run]:
        """Runs of trainings that are not imported as a whole yet, also those that somebody deleted."""
        return self.search(f"tags.`{LIVE}` != ''", deleted=True)

    def log(
        self,
        run_id: str,
        points: Iterable[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log in batches. `params`: only new ones, since they cannot be changed."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(legal(p.name), p.value, p.time, p.step) for p in points]
        listed = [Param(legal(key), value[:LONGEST_PARAM]) for key, value in (params or {}).items()]
        set_tags = [RunTag(key, value[:LONGEST_TAG]) for key, value in (tags or {}).items()]
        while metrics or listed or set_tags:
            first = metrics[:METRICS_AT_ONCE], listed[:AT_ONCE], set_tags[:AT_ONCE]
            self.client.log_batch(run_id, *first)
            metrics, listed, set_tags = metrics[METRICS_AT_ONCE:], listed[AT_ONCE:], set_tags[AT_ONCE:]

    def known_points(self, run: Run) -> set[tuple[str, int]]:
        """Name and step of each point of a run."""
        return {
            (name, point.step)
            for name in run.data.metrics
            for point in self.client.get_metric_history(run.info.run_id, name)
        }

    def write_views(self, shown: views.ShownNames) -> None:
        """Write the saved views and the note of the experiment, where they changed."""
        tags = views.view_tags(self.study, shown, int(time.time() * 1000))
        tags["mlflow.note.content"] = views.note(self.study, self.id)
        known = self.client.get_experiment(self.id).tags
        for key, value in tags.items():
            if not _same_view(known.get(key), value):
                self.client.set_experiment_tag(self.id, key, value)

    def _id(self) -> str:
        experiment = self.client.get_experiment_by_name(self.study)
        if experiment is None:
            # This scheme is stored as written and resolved by the server, so that the folder may be moved.
            location = f"mlflow-artifacts:/{self.study}" if self.artifacts else None
            return str(self.client.create_experiment(self.study, artifact_location=location))
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)


def live_run(training: LiveTraining, runs: Iterable[Run]) -> Run | None:
    """The run of a training among those of `Experiment.live_runs`, whose order is that of their start.

    One that began when the training did; where that is not known yet, of the training or of the run, the last one with
    the same settings. A run whose training was thrown away after it had curves is never taken up again.
    """
    same = [
        run
        for run in runs
        if (run.data.tags["model"], run.data.tags["seed"]) == (training.model, str(training.seed))
        and run.data.tags[LIVE] == training.settings_hash
    ]
    for run in same:
        if training.began is not None and run.data.tags.get(BEGAN) == str(training.began):
            return run
    open_ones = [run for run in same if training.began is None or not _has_curves(run)]
    return open_ones[-1] if open_ones else None


def _has_curves(run: Run) -> bool:
    return any(not name.startswith(SYSTEM) for name in run.data.metrics)


def new_params(run: Run, params: Mapping[str, str]) -> dict[str, str]:
    """The params that a run has not got yet; those that it has cannot be changed."""
    return {name: value for name, value in params.items() if legal(name) not in run.data.params}


@cache
def legal(name: str) -> str:
    """The name of a metric or param with the characters alone that MLflow takes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-./: ") else "_" for c in name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _same_view(old: str | None, new: str) -> bool:
    if old is None or not new.startswith("{"):
        return old == new
    return bool(json.loads(old)["state"] == json.loads(new)["state"])


def _without_password(text: str, uri: str | None) -> str:
    secret = urlsplit(uri).netloc.rpartition("@")[0] if uri else ""
    return text.replace(f"{secret}@", "") if secret else text
