"""A server of MLflow: what the follower, the import and the registration write to a database arrives there, too."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
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
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "./artifacts",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
}
"""What `mlflow server` hands to the server that it starts; two imports of mlflow would double the costs of the test."""
NO_POSTGRES = shutil.which("postgres") is None or shutil.which("initdb") is None or find_spec("psycopg2") is None


@contextmanager
def postgresql() -> Iterator[str]:
    """Address of an empty database of a server of its own, which listens at a socket in its folder alone."""
    owner = {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses root
    folder = Path(tempfile.mkdtemp())  # nobody may not enter the folders of tests, and addresses of sockets are short
    try:
        if owner:
            shutil.chown(folder, **owner)
        data = str(folder / "data")
        subprocess.run(["initdb", "-D", data, "-U", "mlflow", "-A", "trust", "-N"], check=True, cwd=folder, **owner)
        command = ["postgres", "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        server = subprocess.Popen(command, cwd=folder, **owner)
        try:
            yield f"postgresql://mlflow@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for its clients
            server.wait()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param(
            "postgresql",
            marks=pytest.mark.skipif(NO_POSTGRES, reason="apt install postgresql; pip install psycopg2-binary"),
        ),
    ]
)
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of the database behind the server."""
    if request.param == "sqlite":
        yield f"sqlite:///{DATABASE}"
    else:
        with postgresql() as address:
            yield address


@pytest.fixture
def served(results: Path, store: str) -> Iterator[Path]:
    """A results folder whose runs go to a server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--port", str(port)]
    command += ["--log-level", "warning"]
    stores = {f"_MLFLOW_SERVER_{name}_STORE": store for name in ("FILE", "REGISTRY")}
    server = subprocess.Popen(command, cwd=results / "mlflow", env=os.environ | ENVIRONMENT | OPTIONS | stores)
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
