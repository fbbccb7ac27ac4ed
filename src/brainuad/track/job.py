"""Import a study's run records into MLflow: in batches, once per content, by one process at a time.

Training writes plain files only; this local job is the single writer of the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import tempfile
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from brainuad import metrics as declared
from brainuad.formats.files import write_json
from brainuad.track import records, run_figures, views
from brainuad.track.records import Result

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE, ARTIFACTS, LOCK = "mlflow.db", "artifacts", ".lock"
HASH = "brainuad.hash"
BATCH, PARAMS = 1000, 100
"""Values and params that MLflow takes at once."""
MOST_COLUMNS = 16


def track(
    study: str, folder: Path, runs: Sequence[tuple[str, int, str]], mlflow_folder: Path, uri: str | None, mark: Path
) -> bool:
    """Import the records under `folder` (`results/<study>`) and write `mark`; False, and no mark, if MLflow is away.

    `runs`: the models and seeds of the study file, and the labels they trained as. `uri`: an http(s) server; without
    one, a SQLite file in `mlflow_folder`, made here before anything writes to it. Unchanged results are left alone;
    changed ones become a new run. The old one is deleted, as are those of models that left the study (MLflow can
    restore them). A server that is away or refuses is a warning on stderr, and the next call catches up.
    """
    # Imported late: mlflow reads these variables as it is imported, and it takes seconds.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow.exceptions import MlflowException

    results = records.gather(study, folder, runs)
    try:
        with _alone(mlflow_folder):
            imported = _import(study, results, folder, mlflow_folder, uri)
    except (MlflowException, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        lines = [f"warning: {study} was not imported into MLflow", f"  why   {_without_password(reason, uri)[:300]}"]
        lines += ["  do    nothing for the results, they are complete; the next run tries again"]
        print(*lines, sep="\n", file=sys.stderr)  # noqa: T201
        return False
    write_json(mark, imported)
    return True


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the tracking folder: two importers would both miss a run and both create it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _import(
    study: str, results: list[Result], folder: Path, mlflow_folder: Path, uri: str | None
) -> dict[str, dict[str, str]]:
    from mlflow import MlflowClient

    local = None if uri else mlflow_folder / ARTIFACTS / study
    client = MlflowClient(tracking_uri=uri or f"sqlite:///{(mlflow_folder / DATABASE).resolve()}")
    experiment = _experiment(client, study, local)
    imported = {}
    for result in results:
        run = _known(client, experiment, result) or _create(client, experiment, result, folder, local)
        imported[f"{result.model}/seed-{result.seed}"] = {"run": run, "hash": result.hash}
    kept = {entry["run"] for entry in imported.values()}
    for old in client.search_runs([experiment], f"tags.study = '{study}'", max_results=50_000):
        if old.info.run_id not in kept:
            client.delete_run(old.info.run_id)
    _describe(client, experiment, study, results)
    return imported


def _experiment(client: MlflowClient, study: str, local: Path | None) -> str:
    found = client.get_experiment_by_name(study)
    if found is None:
        # This scheme is stored as written and resolved by the server: the folder may be moved.
        return str(client.create_experiment(study, artifact_location=f"mlflow-artifacts:/{study}" if local else None))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _known(client: MlflowClient, experiment: str, result: Result) -> str | None:
    """The run of this very content, if there is one."""
    where = f"tags.model = '{result.model}' and tags.seed = '{result.seed}' and tags.`{HASH}` = '{result.hash}'"
    runs = client.search_runs([experiment], where, order_by=["attributes.start_time ASC"])
    return str(runs[0].info.run_id) if runs else None


def _create(client: MlflowClient, experiment: str, result: Result, folder: Path, local: Path | None) -> str:
    from mlflow.entities import Metric, Param, RunTag

    name = f"{result.model}/seed-{result.seed}"
    run = client.create_run(experiment, result.start, records.tags(result), name).info.run_id
    params = [Param(_legal(key), value[:6000]) for key, value in records.params(result).items()]
    for i in range(0, len(params), PARAMS):
        client.log_batch(run, params=params[i : i + PARAMS])
    points = [Metric(_legal(p.name), p.value, p.time, p.step) for p in records.points(result)]
    for i in range(0, len(points), BATCH):
        client.log_batch(run, metrics=points[i : i + BATCH])
    client.log_inputs(run, _inputs(result))
    _files(client, run, result, folder, local)
    client.set_terminated(run, "FINISHED", result.end)
    client.log_batch(run, tags=[RunTag(HASH, result.hash)])  # last: without it a run counts as half-written
    return str(run)


def _inputs(result: Result) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    seen = {r["tags"]["dataset"]: r["data"] for r in result.others if r["stage"] == "infer" and "dataset" in r["tags"]}
    sets = [("training", result.train["data"], "train"), *((name, data, "test") for name, data in sorted(seen.items()))]
    return [
        DatasetInput(Dataset(name, data[:36] or "unknown", "local", "{}"), [InputTag("mlflow.data.context", role)])
        for name, data, role in sets
    ]


def _files(client: MlflowClient, run: str, result: Result, folder: Path, local: Path | None) -> None:
    pictures = {
        "figures/loss.png": run_figures.loss(result.curves),
        "figures/precision_recall.png": run_figures.precision_recall(result.precision_recall),
    }
    files = {path: picture for path, picture in pictures.items() if picture is not None}
    if len(result.metrics):
        table = result.metrics.astype(object).where(result.metrics.notna(), None)
        files["tables/metrics.json"] = table.to_json(orient="split", index=False).encode()
        client.set_tag(run, "mlflow.loggedArtifacts", json.dumps([{"path": "tables/metrics.json", "type": "table"}]))
    trained = folder / "train" / result.trained_as / f"seed-{result.seed}"
    files |= {f"train/{path.name}": path.read_bytes() for path in sorted(trained.glob("*.json"))}
    if local is not None:
        # A client on SQLite cannot upload to the server's scheme, so the files are put where the server will look.
        _put(local / run / "artifacts", files)
        return
    with tempfile.TemporaryDirectory() as target:
        _put(Path(target), files)
        client.log_artifacts(run, target)


def _put(target: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)


def _describe(client: MlflowClient, experiment: str, study: str, results: list[Result]) -> None:
    chosen = view_columns([row for result in results for row in result.metrics.to_dict("records")])
    curves = sorted({name for result in results for name in result.curves["name"].unique() if "loss" in name})
    everything = sorted({_legal(point.name) for result in results for point in records.points(result)})
    known = client.get_experiment(experiment).tags
    models = sorted({result.model for result in results})
    made = views.tags(study, chosen, [_legal(name) for name in curves], models, everything, int(time.time() * 1000))
    for key, value in {**made, "mlflow.note.content": views.note(study, experiment)}.items():
        if not _same_view(known.get(key), value):
            client.set_experiment_tag(experiment, key, value)


def view_columns(rows: Sequence[Mapping[Hashable, Any]]) -> list[str]:
    """Names for the views: each tracked metric once per data set, by the first chain and honest rule."""
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        if row["threshold_rule"] != "oracle":
            first.setdefault((row["dataset"], row["metric"]), records.metric_name(row))
    tracked = [metric.name for metric in declared.by_name().values() if metric.tracked]
    return [name for metric in tracked for (_, found), name in first.items() if found == metric][:MOST_COLUMNS]


def _same_view(old: str | None, new: str) -> bool:
    if old is None or not new.startswith("{"):
        return old == new
    return bool(json.loads(old)["state"] == json.loads(new)["state"])


def _legal(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-./: ") else "_" for c in name)


def _without_password(text: str, uri: str | None) -> str:
    secret = urlsplit(uri).netloc.rpartition("@")[0] if uri else ""
    return text.replace(f"{secret}@", "") if secret else text
