"""Import of a study's runs into MLflow: in batches, once per content, by one process at a time.

Training writes plain files only; this local job and the follower (`follower.py`) are the only writers of the database.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from brainuad import metrics as declared
from brainuad.figures.plot import shade
from brainuad.formats.files import finished
from brainuad.formats.leftovers import temporary_folder
from brainuad.formats.missing import Missing
from brainuad.metrics.registry import ORACLE
from brainuad.track import run_figures, views
from brainuad.track.experiment import (
    BEGAN,
    HASH,
    LIVE,
    Destination,
    Experiment,
    ImportFailedError,
    legal,
    live_run,
    new_params,
    opened,
)
from brainuad.track.live_training import read_trainings
from brainuad.track.tracked_run import (
    TrackedRun,
    Training,
    metric_name,
    read_runs,
    run_final,
    run_params,
    run_points,
    run_tags,
    varied_params,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

MOST_COLUMNS, MOST_PARAMS, MOST_SHADES = 16, 5, 24
COLOUR = "mlflow.runColor"
"""Tag of a run; groups of runs have colours that MLflow alone decides (docs/mlflow.md)."""
logger = getLogger(__name__)


def import_study(
    study: str,
    folder: Path,
    trainings: Sequence[Training],
    to: Destination,
    missing: Sequence[Missing] = (),
    models: Sequence[str] = (),
) -> dict[str, Any] | None:
    """Import the runs under `folder` (`results/<study>`): run id and hash by `<model>/seed-<n>`.

    `missing`: evaluations that are not there; a run that lacks one is imported with the status FAILED. `models`: all of
    the study, in its order, by which their runs are coloured as in the report.

    The run that shows a training since it started is completed. Unchanged runs are kept; a changed one is imported as
    a new run and the old one deleted, as are those of models that left the study (MLflow can restore them). None, with
    a warning, if the server is unavailable or refuses: the next call imports what is missing.
    """
    runs = read_runs(study, folder, trainings, missing)
    named = {(run.model, run.seed) for run in runs} | {(row.model, int(row.seed)) for row in missing}
    try:
        with opened(study, to) as experiment:
            importer = _Importer(experiment, folder, named)
            imported = {f"{run.model}/seed-{run.seed}": {"run": importer.run_id(run), "hash": run.hash} for run in runs}
            importer.delete_others({entry["run"] for entry in imported.values()})
            importer.colour({entry["run"]: name.partition("/")[0] for name, entry in imported.items()}, models)
            experiment.write_views(shown_names(runs))
            return imported
    except ImportFailedError as error:
        error.do = "; ".join(filter(None, [error.do, "the results are complete, the next run tries again"]))
        logger.warning("%s", str(error).removeprefix("error: "))
        return None


class _Importer:
    """Imports runs as a whole into the experiment of a study. `named`: models and seeds that belong to it."""

    def __init__(self, experiment: Experiment, folder: Path, named: set[tuple[str, int]]):
        self._experiment, self._client, self._folder = experiment, experiment.client, folder
        live = experiment.live_runs()
        found = ((each, live_run(each, live)) for each in (read_trainings(folder) if live else ()))
        self._runs = experiment.search(f"tags.study = '{experiment.study}'")
        self._live = {
            run: each for training, each in found if each and (run := (training.model, training.seed)) in named
        }

    def run_id(self, run: TrackedRun) -> str:
        """The id of the run with this content, which is completed or created if there is none."""
        for known in self._runs:  # one query for all: MLflow loads each metric of a run that it finds
            tags = known.data.tags
            if (tags.get("model"), tags.get("seed"), tags.get(HASH)) == (run.model, str(run.seed), run.hash):
                return str(known.info.run_id)
        live = self._live.pop((run.model, run.seed), None) if run.model == run.trained_as else None
        return (
            self._create(run) if live is None or live.info.lifecycle_stage == "deleted" else self._complete(run, live)
        )

    def delete_others(self, kept: set[str]) -> None:
        """Delete the runs of the study that are not kept, and show no training that its folder still holds."""
        kept = kept | {run.info.run_id for run in self._live.values()}
        for old in self._runs:
            if old.info.run_id not in kept:
                self._client.delete_run(old.info.run_id)

    def colour(self, model_of: Mapping[str, str], models: Sequence[str]) -> None:
        """Give all runs of a model its colour in the report, unless somebody chose another. `model_of`: by run id."""
        shades = {model: shade(number) for number, model in enumerate(models)}
        ours, known = set(map(shade, range(MOST_SHADES))), {each.info.run_id: each.data.tags for each in self._runs}
        for run_id, model in model_of.items():
            old = known.get(run_id, {}).get(COLOUR)
            if model in shades and old != shades[model] and (old is None or old in ours):
                self._client.set_tag(run_id, COLOUR, shades[model])

    def _create(self, run: TrackedRun) -> str:
        run_id = self._experiment.create(f"{run.model}/seed-{run.seed}", run.start, run_tags(run))
        self._experiment.log(run_id, run_points(run), run_params(run))
        return self._finish(run, run_id)

    def _complete(self, run: TrackedRun, live: Run) -> str:
        run_id, known = str(live.info.run_id), self._experiment.known_points(live)
        self._client.delete_tag(run_id, LIVE)  # first: if this stops, the next import makes a new run of it
        new = [point for point in run_points(run) if (legal(point.name), point.step) not in known]
        self._experiment.log(run_id, new, new_params(live, run_params(run)), run_tags(run))
        return self._finish(run, run_id)

    def _finish(self, run: TrackedRun, run_id: str) -> str:
        self._client.log_inputs(run_id, _dataset_inputs(run))
        self._write_files(run_id, run)
        self._client.set_terminated(run_id, "FAILED" if run.missing else "FINISHED", run.end)
        self._experiment.log(run_id, tags={BEGAN: str(run.start), HASH: run.hash})  # last: else it is half-written
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
        if self._experiment.artifacts is not None:
            # A client on SQLite cannot upload to the server's scheme, so the files are written where the server looks.
            _write(self._experiment.artifacts / run_id / "artifacts", files)
            return
        with temporary_folder() as folder:
            _write(folder, files)
            self._client.log_artifacts(run_id, folder)


def _dataset_inputs(run: TrackedRun) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [("training", run.train["data"], "train"), *((name, seal, "test") for name, seal in run.tested.items())]
    return [
        DatasetInput(Dataset(name, data[:36] or "unknown", "local", "{}"), [InputTag("mlflow.data.context", role)])
        for name, data, role in inputs
    ]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def shown_names(runs: Sequence[TrackedRun]) -> views.ShownNames:
    """What the saved views of these runs show."""
    trained = [run.curves for run in runs if len(run.curves)]
    curves = pd.concat(trained).groupby("name")["value"].min() if trained else pd.Series(dtype=float)
    final = {name for run in runs for name in run_final(run)}
    return views.ShownNames(
        columns=view_columns([row for run in runs for row in run.metrics.to_dict("records")]),
        curves=[legal(name) for name in curves.index if "loss" in name],
        models=sorted({run.model for run in runs}),
        grouped=len({run.model for run in runs}) < len(runs),
        all_metrics=sorted({legal(name) for name in {*curves.index, *final}}),
        params=[legal(name) for name in varied_params(runs, MOST_PARAMS)],
        positive=frozenset(legal(name) for name in curves.index[curves > 0]),
    )


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
