"""Import of a study's runs into MLflow: in batches, once per content, by one process at a time.

Training writes plain files only; this local job is the only writer of the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from brainuad import metrics as declared
from brainuad.errors import InputError
from brainuad.formats.files import finished
from brainuad.formats.leftovers import temporary_folder
from brainuad.formats.missing import Missing
from brainuad.metrics.registry import ORACLE
from brainuad.track import run_figures, views
from brainuad.track.schema import check_database
from brainuad.track.tracked_run import (
    TrackedRun,
    Training,
    metric_name,
    read_runs,
    run_params,
    run_points,
    run_tags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE, ARTIFACTS, LOCK = "mlflow.db", "artifacts", ".lock"
HASH = "brainuad.hash"
METRICS_AT_ONCE, PARAMS_AT_ONCE = 1000, 100
"""What MLflow takes in one batch."""
MOST_COLUMNS = 16
MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
logger = getLogger(__name__)


@dataclass(frozen=True)
class Destination:
    """Where runs are imported to: the http(s) server `uri`; without one, a SQLite file in `folder`, made here."""

    folder: Path
    uri: str | None = None

    @property
    def tracking_uri(self) -> str:
        """As MLflow's client takes it."""
        return self.uri or f"sqlite:///{(self.folder / DATABASE).resolve()}"

    def artifacts(self, study: str) -> Path | None:
        """Where the files of a study's runs are written; None where a server takes them."""
        return None if self.uri else self.folder / ARTIFACTS / study


def import_study(
    study: str, folder: Path, trainings: Sequence[Training], to: Destination, missing: Sequence[Missing] = ()
) -> dict[str, Any] | None:
    """Import the runs under `folder` (`results/<study>`): run id and hash by `<model>/seed-<n>`.

    `missing`: evaluations that are not there; a run that lacks one is imported with the status FAILED.

    Unchanged runs are kept; a changed one is imported as a new run and the old one deleted, as are those of models that
    left the study (MLflow can restore them). None, with a warning, if the server is unavailable or refuses: the next
    call imports what is missing.
    """
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)  # mlflow reads them as it is imported
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    runs = read_runs(study, folder, trainings, missing)
    try:
        with _locked(to.folder):
            if to.uri is None:
                check_database(to.folder / DATABASE)
            return _import(study, runs, folder, to)
    except InputError as error:
        message = f"{study} was not imported into MLflow: {error.what}\n  file  {error.file}\n  why   {error.why}"
        logger.warning("%s\n  do    %s; the results are complete, the next run tries again", message, error.do)
        return None
    except (MlflowException, SQLAlchemyError, OSError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line for line in lines if "Error)" in line), lines[0])  # SQLAlchemy has advice above it
        why = _without_password(reason, to.uri)[:300]
        do = "nothing for the results, they are complete; the next run tries again"
        logger.warning("%s was not imported into MLflow\n  why   %s\n  do    %s", study, why, do)
        return None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the tracking folder: two importers would both miss a run and both create it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _import(study: str, runs: list[TrackedRun], folder: Path, to: Destination) -> dict[str, Any]:
    from mlflow import MlflowClient

    importer = _Importer(MlflowClient(tracking_uri=to.tracking_uri), study, folder, to.artifacts(study))
    imported = {f"{run.model}/seed-{run.seed}": {"run": importer.run_id(run), "hash": run.hash} for run in runs}
    importer.delete_others({entry["run"] for entry in imported.values()})
    importer.write_views(runs)
    return imported


class _Importer:
    """The experiment of a study in MLflow."""

    def __init__(self, client: MlflowClient, study: str, folder: Path, artifacts: Path | None):
        self._client, self._study, self._folder, self._artifacts = client, study, folder, artifacts
        self._experiment = self._experiment_id()

    def run_id(self, run: TrackedRun) -> str:
        """The id of the run with this content, which is created if there is none."""
        return self._existing(run) or self._create(run)

    def delete_others(self, kept: set[str]) -> None:
        """Delete the runs of the study that are not kept."""
        where = f"tags.study = '{self._study}'"
        for old in self._client.search_runs([self._experiment], where, max_results=50_000):
            if old.info.run_id not in kept:
                self._client.delete_run(old.info.run_id)

    def write_views(self, runs: list[TrackedRun]) -> None:
        """Write the saved views and the note of the experiment, where they changed."""
        losses = sorted({name for run in runs for name in run.curves["name"].unique() if "loss" in name})
        shown = views.ShownNames(
            columns=view_columns([row for run in runs for row in run.metrics.to_dict("records")]),
            curves=[_legal(name) for name in losses],
            models=sorted({run.model for run in runs}),
            all_metrics=sorted({_legal(point.name) for run in runs for point in run_points(run)}),
        )
        tags = views.view_tags(self._study, shown, int(time.time() * 1000))
        tags["mlflow.note.content"] = views.note(self._study, self._experiment)
        known = self._client.get_experiment(self._experiment).tags
        for key, value in tags.items():
            if not _same_view(known.get(key), value):
                self._client.set_experiment_tag(self._experiment, key, value)

    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(self._study)
        if experiment is None:
            # This scheme is stored as written and resolved by the server, so that the folder may be moved.
            location = f"mlflow-artifacts:/{self._study}" if self._artifacts else None
            return str(self._client.create_experiment(self._study, artifact_location=location))
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _existing(self, run: TrackedRun) -> str | None:
        where = f"tags.model = '{run.model}' and tags.seed = '{run.seed}' and tags.`{HASH}` = '{run.hash}'"
        runs = self._client.search_runs([self._experiment], where, order_by=["attributes.start_time ASC"])
        return str(runs[0].info.run_id) if runs else None

    def _create(self, run: TrackedRun) -> str:
        from mlflow.entities import Metric, Param, RunTag

        client, name = self._client, f"{run.model}/seed-{run.seed}"
        run_id = str(client.create_run(self._experiment, run.start, run_tags(run), name).info.run_id)
        params = [Param(_legal(key), value[:6000]) for key, value in run_params(run).items()]
        for i in range(0, len(params), PARAMS_AT_ONCE):
            client.log_batch(run_id, params=params[i : i + PARAMS_AT_ONCE])
        points = [Metric(_legal(p.name), p.value, p.time, p.step) for p in run_points(run)]
        for i in range(0, len(points), METRICS_AT_ONCE):
            client.log_batch(run_id, metrics=points[i : i + METRICS_AT_ONCE])
        client.log_inputs(run_id, _dataset_inputs(run))
        self._write_files(run_id, run)
        client.set_terminated(run_id, "FAILED" if run.missing else "FINISHED", run.end)
        client.log_batch(run_id, tags=[RunTag(HASH, run.hash)])  # last: without it a run counts as half-written
        return run_id

    def _write_files(self, run_id: str, run: TrackedRun) -> None:
        pictures = {
            "figures/loss.png": run_figures.loss(run.curves),
            "figures/precision_recall.png": run_figures.precision_recall(run.precision_recall),
        }
        files = {path: picture for path, picture in pictures.items() if picture is not None}
        if len(run.metrics):
            table = run.metrics.astype(object).where(run.metrics.notna(), None)
            files["tables/metrics.json"] = table.to_json(orient="split", index=False).encode()
            logged = json.dumps([{"path": "tables/metrics.json", "type": "table"}])
            self._client.set_tag(run_id, "mlflow.loggedArtifacts", logged)
        trained = self._folder / "train" / run.trained_as / f"seed-{run.seed}"
        files |= {f"train/{path.name}": path.read_bytes() for path in finished(trained, "*.json")}
        if self._artifacts is not None:
            # A client on SQLite cannot upload to the server's scheme, so the files are written where the server looks.
            _write(self._artifacts / run_id / "artifacts", files)
            return
        with temporary_folder() as folder:
            _write(folder, files)
            self._client.log_artifacts(run_id, folder)


def _dataset_inputs(run: TrackedRun) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tested = {r["tags"]["dataset"]: r["data"] for r in run.records if r["stage"] == "infer" and "dataset" in r["tags"]}
    inputs = [
        ("training", run.train["data"], "train"),
        *((name, data, "test") for name, data in sorted(tested.items())),
    ]
    return [
        DatasetInput(Dataset(name, data[:36] or "unknown", "local", "{}"), [InputTag("mlflow.data.context", role)])
        for name, data, role in inputs
    ]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def view_columns(rows: Sequence[Mapping[Hashable, Any]]) -> list[str]:
    """Names of the metrics in the saved views: each tracked metric once per data set.

    `rows`: of `metrics.tsv`. Of several postprocessings and threshold rules the first counts; the oracle never does.
    """
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        if row["threshold_rule"] != ORACLE:
            first.setdefault((row["dataset"], row["metric"]), metric_name(row))
    tracked = [metric.name for metric in declared.by_name().values() if metric.tracked]
    return [name for metric in tracked for (_, measured), name in first.items() if measured == metric][:MOST_COLUMNS]


def _same_view(old: str | None, new: str) -> bool:
    if old is None or not new.startswith("{"):
        return old == new
    return bool(json.loads(old)["state"] == json.loads(new)["state"])


def _legal(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-./: ") else "_" for c in name)


def _without_password(text: str, uri: str | None) -> str:
    secret = urlsplit(uri).netloc.rpartition("@")[0] if uri else ""
    return text.replace(f"{secret}@", "") if secret else text
