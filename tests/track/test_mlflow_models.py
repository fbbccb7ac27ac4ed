"""Model files as models of MLflow."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from model_files import SHAPE, toy_model

from brainuad.errors import InputError
from brainuad.formats import model_file
from brainuad.formats.model_file import Grid
from brainuad.predict import mlflow_models
from brainuad.predict.model import Model
from brainuad.predict.source import read
from brainuad.track.experiment import HASH, Destination, opened


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A model file."""
    return toy_model(tmp_path)


def with_run(results: Path) -> Destination:
    to = Destination(results / "mlflow")
    with opened("toy", to) as experiment:
        experiment.create("histeq/seed-0", 1, {"model": "histeq", "seed": "0", HASH: "0"})
    return to


def test_a_model_is_registered_once_and_read_back_by_its_addresses(results, toy, monkeypatch):
    to = with_run(results)
    address = mlflow_models.register(toy, to)
    assert address == mlflow_models.register(toy, to) == "models:/toy.histeq/1"
    client = MlflowClient(tracking_uri=to.tracking_uri)
    version = client.get_model_version("toy.histeq", "1")
    assert len(client.get_run(version.run_id).outputs.model_outputs) == 1
    moved = shutil.move(results, results.with_name("moved"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Destination(moved / "mlflow").tracking_uri)
    for each in (address, "models:/toy.histeq", f"runs:/{version.run_id}"):
        assert read(Path(each)).sha256 == model_file.read(moved / toy.name).sha256
    moved_to = Destination(moved / "mlflow")
    assert mlflow_models.registered("toy", ["histeq", "other"], 0, moved_to) == {"histeq": address}
    client = MlflowClient(tracking_uri=moved_to.tracking_uri)
    client.delete_run(version.run_id)  # as the import does with the run of an earlier version of the results
    with_run(moved)
    assert mlflow_models.registered("toy", ["histeq"], 0, moved_to) == {}
    with pytest.raises(InputError, match="no such version"):
        read(Path("models:/toy.histeq/2"))


def test_mlflow_loads_it_without_a_pickle_and_maps_a_batch(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    folder = mlflow_models.write(tmp_path / "model", toy, model_file.read(toy))
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]
    assert str(tmp_path) not in (folder / "MLmodel").read_text()
    mapped: list[Any] = []

    def predict(_: Model, scan: Path) -> SimpleNamespace:
        mapped.append(scan)
        return SimpleNamespace(anomaly=np.full(SHAPE, len(mapped)))

    monkeypatch.setattr(Model, "predict", predict)
    loaded = mlflow.pyfunc.load_model(str(folder))
    maps = loaded.predict(pd.DataFrame({"scan": ["a.nii.gz", "b.nii.gz"]}))
    assert mapped == [Path("a.nii.gz"), Path("b.nii.gz")]
    assert maps.shape == (2, *SHAPE)
    assert maps.max() == 2
    assert loaded.metadata.signature.outputs.inputs[0].shape == (-1, *SHAPE)
    content = model_file.read(toy)
    larger = Grid(shape=(8, 9, 7), affine=content.manifest.grid.affine)  # the study cut it to the slices of the models
    cut = replace(content, manifest=content.manifest.model_copy(update={"grid": larger}))
    written = mlflow.models.Model.load(mlflow_models.write(tmp_path / "cut", toy, cut))
    assert written.signature.outputs.inputs[0].shape == (-1, *SHAPE)


def test_a_model_without_a_run_is_refused(results, toy, monkeypatch):
    monkeypatch.chdir(results)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI"):
        read(Path("models:/toy.histeq/1"))
    with pytest.raises(InputError, match="cannot be registered"):
        mlflow_models.register(toy, Destination(results / "mlflow"))
