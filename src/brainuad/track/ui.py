"""`brainuad ui`: MLflow on the imported runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

from brainuad.errors import InputError
from brainuad.track.experiment import ARTIFACTS, DATABASE
from brainuad.track.schema import check_database
from brainuad.track.views import COMPARISON, has_results, link

START_SECONDS = 120.0
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "1"}
"""Without job execution the server starts in 6 s with 2 processes, not in 20 s with 15."""
QUIET = "--log-level warning"
QUIET_SERVER = {"PYTHONWARNINGS": "ignore"}
"""Else the links scroll away under a line for each request, and stand below what libraries say to their users."""


def serve(
    mlflow_folder: Path,
    port: int = 5000,
    host: str = "127.0.0.1",
    follow: Callable[[Event], None] | None = None,
) -> int:
    """Run the MLflow server until it is stopped, and print the address of each study's comparison; its exit code.

    `follow`: runs beside the server, until the event is set. Raises InputError if nothing was imported yet or the
    server does not start.
    """
    if not (mlflow_folder / DATABASE).is_file():
        do = "run a study first: snakemake --cores 2"
        raise InputError("no run was imported into MLflow yet", file=mlflow_folder / DATABASE, do=do)
    check_database(mlflow_folder / DATABASE)
    _require_port(host, port)
    # Paths are relative to the folder, so that it may be moved.
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{DATABASE}"]
    command += ["--artifacts-destination", f"./{ARTIFACTS}", "--workers", "1", "--host", host, "--port", str(port)]
    command += ["--uvicorn-opts", QUIET]
    server = subprocess.Popen(command, cwd=mlflow_folder, env=os.environ | ENVIRONMENT | QUIET_SERVER)
    # A stop signal must reach the server too, or it would keep the port.
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    address, stop = f"http://{host}:{port}", Event()
    try:
        _wait(server, f"{address}/health")
        for line in comparison_links(address, address):
            print(line, flush=True)  # noqa: T201
        if follow is not None:
            Thread(target=follow, args=(stop,), daemon=True).start()
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        stop.set()
        server.terminate()
        server.wait()


def comparison_links(uri: str, address: str) -> list[str]:
    """A line per study: its name and the address of its comparison, or of its curves while it has no results.

    `uri`: where the client finds the runs, a server or a database; `address`: of the server, for the links.
    """
    os.environ.update(ENVIRONMENT)  # mlflow reads them as it is imported
    from mlflow import MlflowClient

    studies = MlflowClient(tracking_uri=uri).search_experiments(
        filter_string="name != 'Default'", order_by=["name ASC"]
    )
    links = ((each.name, link(each.experiment_id, COMPARISON, charts=not has_results(each.tags))) for each in studies)
    return [f"{study}: {address}/{at}" for study, at in links]


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()  # noqa: S310
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
        else:
            return
    why = f"it ended with {server.returncode}" if server.poll() is not None else f"no answer in {START_SECONDS:g} s"
    do = f"read what it printed; its database is {DATABASE}"
    raise InputError("the MLflow server does not start", why=f"{why}, at {address}", do=do)


def _require_port(host: str, port: int) -> None:
    """Raise InputError if another program listens there."""
    try:
        with closing(socket.create_server((host, port))):
            return
    except OSError as error:
        do = "choose another one: brainuad ui --port 5001"
        raise InputError(f"port {port} cannot be used", why=error.strerror, do=do) from None
