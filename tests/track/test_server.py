"""A server of MLflow: what the follower, the import and the registration write to a database arrives there, too."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_trainings import SERVER, client, the_run, whole_life
from model_files import toy_model

from brainuad.formats import model_file
from brainuad.predict import mlflow_models
from brainuad.track.experiment import DATABASE, HASH, Destination, opened
from brainuad.track.ui import ENVIRONMENT

PATIENCE = 120.0
OPTIONS = {
    "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{DATABASE}",
    "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{DATABASE}",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "./artifacts",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
}
"""What `mlflow server` hands to the server that it starts; two imports of mlflow would double the costs of the test."""


@pytest.fixture
def served(results: Path) -> Iterator[Path]:
    """A results folder whose runs go to a server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--port", str(port)]
    command += ["--log-level", "warning"]
    server = subprocess.Popen(command, cwd=results / "mlflow", env=os.environ | ENVIRONMENT | OPTIONS)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(server, f"{address}/health")
        (results / SERVER).write_text(address)
        yield results
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the server ended with {server.poll()}, or gave no answer in {PATIENCE:.0f} s")


def test_a_server_takes_trainings_studies_and_models(served, monkeypatch):
    whole_life(served)
    run_id = the_run(served).info.run_id
    assert "figures/loss.png" in [each.path for each in client(served).list_artifacts(run_id, "figures")]

    address = (served / SERVER).read_text()
    file = toy_model(served / "toy")
    with opened("toy", Destination(served / "mlflow", address)) as experiment:
        experiment.create("histeq/seed-0", 1, {"model": "histeq", "seed": "0", HASH: "0"})
    registered = mlflow_models.register(file, Destination(served / "mlflow", address))
    assert registered == mlflow_models.register(file, Destination(served / "mlflow", address)) == "models:/toy.histeq/1"
    monkeypatch.setenv(mlflow_models.TRACKING_URI, address)
    (served / "back").mkdir()
    assert model_file.read(mlflow_models.fetch(registered, served / "back")).sha256 == model_file.read(file).sha256
