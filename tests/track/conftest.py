from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from brainuad.track.experiment import DATABASE, Destination

pytest.register_assert_rewrite("live_trainings")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without a run; making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(tracking_uri=Destination(folder).tracking_uri).search_experiments()
    return folder / DATABASE


@pytest.fixture
def results(empty_database: Path, tmp_path: Path) -> Path:
    """A results folder with an empty database."""
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_database, tmp_path / "mlflow" / DATABASE)
    return tmp_path
