"""A database that another MLflow made, or that is none: said by `brainuad ui`, and a warning of the import."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from alembic.script import ScriptDirectory

from brainuad.errors import InputError
from brainuad.track import ui
from brainuad.track.experiment import DATABASE, Destination
from brainuad.track.run_import import import_study
from brainuad.track.schema import check_database

STEPS = ScriptDirectory(str(Path(mlflow.__file__).parent / "store/db_migrations"))
HEAD = STEPS.get_current_head()
OLDER = STEPS.get_revision(HEAD).down_revision


def database(folder: Path, version: str | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / DATABASE)) as made, made:
        made.execute("CREATE TABLE runs (run_uuid TEXT)")
        if version:
            made.execute("CREATE TABLE alembic_version (version_num TEXT)")
            made.execute("INSERT INTO alembic_version VALUES (?)", (version,))
    return folder / DATABASE


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (OLDER, ["older MLflow", OLDER, HEAD, "mlflow db upgrade"]),
        ("feedc0ffee01", ["newer MLflow", "feedc0ffee01", "install the MLflow"]),
        (None, ["no database of MLflow"]),
    ],
)
def test_a_database_of_another_schema_is_named_with_the_remedy(tmp_path, caplog, version, words):
    path = database(tmp_path / "mlflow", version)
    with pytest.raises(InputError) as caught:
        ui.serve(path.parent)
    assert import_study("demo", tmp_path / "demo", [], Destination(path.parent)) is None
    (record,) = [each for each in caplog.records if each.name == "brainuad.track.run_import"]
    for text in (str(caught.value), record.getMessage()):
        for each in [*words, str(path)]:
            assert each in text
    assert record.levelname == "WARNING"


def test_a_broken_database_is_named(tmp_path):
    (tmp_path / DATABASE).write_bytes(b"x" * 4000)
    with pytest.raises(InputError, match="cannot be read"):
        check_database(tmp_path / DATABASE)


def test_a_database_that_fits_or_is_not_there_yet_passes(tmp_path):
    check_database(tmp_path / DATABASE)
    (tmp_path / DATABASE).touch()
    check_database(tmp_path / DATABASE)
    check_database(database(tmp_path / "made", HEAD))


def test_a_taken_port_is_named(tmp_path):
    path = database(tmp_path, HEAD)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} cannot be used"):
            ui.serve(path.parent, port)


def test_a_path_that_mlflow_would_cut_is_refused(tmp_path, caplog):
    folder = tmp_path / "a?b" / "mlflow"
    assert import_study("demo", tmp_path / "demo", [], Destination(folder)) is None
    assert "question mark" in caplog.text
    assert not (tmp_path / "a").exists()
