"""Model files as models of MLflow: registered on their runs, read back by address, and loaded by `mlflow.pyfunc`.

A model of MLflow here is the model file and a few lines of YAML that name this module as its loader, so that loading
runs no code and no pickle from it.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainuad.errors import InputError
from brainuad.formats import leftovers, model_file
from brainuad.formats.model_file import SUFFIX, ModelFile
from brainuad.predict.model import Model
from brainuad.track.experiment import ARTIFACTS, DATABASE, HASH, Destination, Experiment, opened

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

MODELS, RUNS = "models:/", "runs:/"
SHA256 = "brainuad.sha256"
"""Tag of a model: SHA-256 of its model file."""
MODEL_ID = "brainuad.model"
"""Tag of a registered version: the id of the model, which MLflow's search does not give."""
SEEDS = "seeds"
"""Tag of a model: the seeds behind it, with spaces."""
SCAN = "scan"
"""Column of the input: paths of scans; of a model that takes several sequences, these are the columns."""
TRACKING_URI = "MLFLOW_TRACKING_URI"
LOCAL = Path("results/mlflow")
WHERE = f"name the server or database in {TRACKING_URI}; without it {LOCAL} of this folder is asked"
SCHEME = "mlflow-artifacts:/"


def register(file: Path, to: Destination) -> str:
    """Log a model file as a model of its run, and register it as `<study>.<model>`; returns `models:/NAME/VERSION`.

    What is registered already is found, and not registered again. Raises InputError for a file that is no model file,
    and where the study has no complete run of that model and seed in MLflow.
    """
    content = model_file.read(file)
    about = content.manifest
    name = registered_name(about.study, about.label)
    with opened(about.study, to) as experiment:
        run_id = _run_id(experiment, about.label, about.seeds[0])
        if run_id is not None:
            model = _logged(experiment, run_id, content.sha256) or _log(experiment, run_id, file, content)
            version = _version(experiment.client, name, model)
    if run_id is None:
        why = f"the study {about.study} has no complete run of {about.label} with seed {about.seeds[0]} in MLflow"
        do = "run the study to its end, or name the results folder that the model file is from"
        raise InputError(f"{about.label} cannot be registered", file=file, why=why, do=do)
    return f"{MODELS}{name}/{version}"


def registered(study: str, models: Sequence[str], seed: int, to: Destination) -> dict[str, str]:
    """Which of these models have a registered version of their present run, and its address `models:/NAME/VERSION`.

    Versions of a single seed count alone, as `brainuad export` writes them without `--seed`. Raises InputError where
    MLflow is unavailable.
    """
    with opened(study, to) as experiment:
        found = {model: _registered(experiment, model, seed) for model in models}
    return {model: address for model, address in found.items() if address is not None}


def fetch(address: str, folder: Path) -> Path:
    """The model file behind `models:/NAME/VERSION`, `models:/NAME` (the last version) or `runs:/RUN`, in `folder`.

    From the server or database that `MLFLOW_TRACKING_URI` names, else from results/mlflow. Raises InputError where it
    is not found.
    """
    if TRACKING_URI not in os.environ and not (LOCAL / DATABASE).is_file():
        raise InputError(f"{address} is not found", why=f"there is no {LOCAL / DATABASE} here", do=WHERE)
    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = os.environ.get(TRACKING_URI) or Destination(LOCAL).tracking_uri
    try:
        model = _addressed(MlflowClient(tracking_uri=uri), address)
        if model.artifact_location.startswith(SCHEME) and uri.startswith("sqlite:///"):
            place = Path(uri.removeprefix("sqlite:///")).parent / ARTIFACTS
            local = place / model.artifact_location.removeprefix(SCHEME)
        else:
            found = mlflow.artifacts.download_artifacts(f"{MODELS}{model.model_id}", dst_path=folder, tracking_uri=uri)
            local = Path(found)
        (file,) = local.glob(f"data/*{SUFFIX}")
        return Path(shutil.copy(file, folder))
    except (MlflowException, OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{address} is not found in MLflow", why=why, do=WHERE) from None


class MappedScans:
    """What `mlflow.pyfunc.load_model` gives: maps a table of scans."""

    def __init__(self, model: Model):
        self.model = model

    def predict(self, table: pd.DataFrame, params: Mapping[str, Any] | None = None) -> np.ndarray:  # noqa: ARG002
        """Anomaly maps on the models' grid, (n, x, y, z), of the paths in the column `scan`.

        Of a model that takes several sequences, a column for each; an empty cell is one that is missing. Raises
        InputError for a scan that cannot be used.
        """
        if names := self.model.manifest.sequences:
            rows = table.reindex(columns=names).to_dict("records")
            sessions = [{str(name): path for name, path in row.items() if isinstance(path, str)} for row in rows]
            maps = [self.model.predict(session).anomaly for session in sessions]
        else:
            maps = [self.model.predict(Path(path)).anomaly for path in table[SCAN]]
        return np.stack(maps).astype(np.float32)


def _load_pyfunc(path: str) -> MappedScans:
    """MLflow calls this. `path`: of the model file in its folder."""
    return MappedScans(Model(model_file.read(Path(path)), Path(path)))


def registered_name(study: str, model: str) -> str:
    """Under which a model of a study is registered."""
    return f"{study}.{model}"


def _run_id(experiment: Experiment, model: str, seed: int) -> str | None:
    where = f"tags.model = '{model}' and tags.seed = '{seed}' and tags.`{HASH}` != ''"
    runs = experiment.search(where, most=1)
    return str(runs[0].info.run_id) if runs else None


def _registered(experiment: Experiment, model: str, seed: int) -> str | None:
    run_id, name, client = _run_id(experiment, model, seed), registered_name(experiment.study, model), experiment.client
    for version in client.search_model_versions(f"name = '{name}'"):
        if run_id is None or version.run_id != run_id or MODEL_ID not in version.tags:
            continue
        if client.get_logged_model(version.tags[MODEL_ID]).tags.get(SEEDS) == str(seed):
            return f"{MODELS}{name}/{version.version}"
    return None


def _logged(experiment: Experiment, run_id: str, sha256: str) -> LoggedModel | None:
    where = f"source_run_id = '{run_id}' and tags.`{SHA256}` = '{sha256}'"
    found = experiment.client.search_logged_models([experiment.id], where)
    return next((each for each in found if each.status.name == "READY"), None)


def _log(experiment: Experiment, run_id: str, file: Path, content: ModelFile) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput

    client, about = experiment.client, content.manifest
    tags = {SHA256: content.sha256, SEEDS: " ".join(map(str, about.seeds)), "modality": about.modality}
    model = client.create_logged_model(experiment.id, about.label, run_id, tags, model_type="brainuad")
    with leftovers.temporary_folder() as place:
        written = write(place / "model", file, content)
        if experiment.artifacts is None:
            client.log_model_artifacts(model.model_id, str(written))
        else:  # a client on SQLite cannot upload to the server's scheme
            shutil.copytree(written, experiment.artifacts / "models" / model.model_id / "artifacts")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.finalize_logged_model(model.model_id, "READY")


def write(folder: Path, file: Path, content: ModelFile) -> Path:
    """Write a model file, whose `content` was read, as a folder of MLflow's pyfunc flavour."""
    from mlflow import pyfunc

    versions = content.manifest.versions
    wanted = [f"{name}=={version}" for name, version in sorted(versions.items()) if name != "python"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example", UserWarning)  # it would be a person's scan
        where = {"loader_module": __name__, "data_path": str(file)}
        pyfunc.save_model(str(folder), **where, signature=_signature(content), pip_requirements=wanted)
    return folder


def _signature(content: ModelFile) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    shape = content.bundles[content.manifest.parts[-1].bundle].about["shape"]  # a part of the template's grid
    maps = TensorSpec(np.dtype(np.float32), (-1, *shape))
    first, *further = [str(name) for name in content.manifest.sequences] or [SCAN]
    columns = [ColSpec("string", first), *(ColSpec("string", name, required=False) for name in further)]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([maps]))


def _version(client: MlflowClient, name: str, model: LoggedModel) -> int:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    for known in client.search_model_versions(f"name = '{name}'"):
        if known.tags.get(MODEL_ID) == model.model_id:
            return int(known.version)
    where, run_id, model_id = model.artifact_location, model.source_run_id, model.model_id
    made = client.create_model_version(name, where, run_id, {MODEL_ID: model_id}, model_id=model_id)
    return int(made.version)


def _addressed(client: MlflowClient, address: str) -> LoggedModel:
    """Raises MlflowException or ValueError where there is none."""
    if address.startswith(RUNS):
        run_id = address.removeprefix(RUNS).partition("/")[0]
        experiment = client.get_run(run_id).info.experiment_id
        logged = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
        if not logged:
            raise ValueError("the run has no model: `brainuad register` gives it one")
        return max(logged, key=lambda model: model.creation_timestamp)
    name, _, version = address.removeprefix(MODELS).partition("/")
    found = client.search_model_versions(f"name = '{name}'")
    chosen = [each for each in found if str(each.version) == (version or str(each.version)) and MODEL_ID in each.tags]
    if not chosen:
        raise ValueError(f"there is no such version of {name}" if found else f"there is no model {name}")
    return client.get_logged_model(max(chosen, key=lambda each: int(each.version)).tags[MODEL_ID])
