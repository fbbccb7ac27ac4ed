"""Whether the installed MLflow can use a database that is there already."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from brainuad.errors import InputError

AWAY = "move the folder away; a study's next run imports its runs anew once its track.json is deleted"
BROKEN = f"restore it, or {AWAY}"


def check_database(path: Path) -> None:
    """Raise InputError for a SQLite file that is broken or of another MLflow's schema; none at all is well.

    Also for a path that MLflow, which takes it as an address, would cut at its `?`.
    """
    if "?" in str(path.resolve()):
        do = "rename the folder, or name a server in track.uri"
        raise InputError(
            "MLflow cannot use a path with a question mark", file=path, why="it takes it as an address", do=do
        )
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                return
            versions = (
                database.execute("SELECT version_num FROM alembic_version") if "alembic_version" in tables else ()
            )
            found = next((version for (version,) in versions), None)
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):  # somebody writes it, so it works
            return
        raise InputError("MLflow's database cannot be read", file=path, why=str(error), do=BROKEN) from None
    if found is None:
        raise InputError("this is no database of MLflow", file=path, why="it has no alembic_version", do=BROKEN)
    _compare(path, str(found))


def _compare(path: Path, found: str) -> None:
    import mlflow
    from alembic.script import ScriptDirectory

    steps = ScriptDirectory(str(Path(mlflow.__file__).parent / "store/db_migrations"))
    head = steps.get_current_head()
    if found == head:
        return
    why = f"its schema is {found}, MLflow {mlflow.__version__} has {head}"
    if found in {step.revision for step in steps.walk_revisions()}:
        do = f"copy it, then type `mlflow db upgrade 'sqlite:///{path.resolve()}'`, or {AWAY}"
        raise InputError("MLflow's database was made by an older MLflow", file=path, why=why, do=do)
    do = f"install the MLflow that made it, name a server in track.uri, or {AWAY}"
    raise InputError("MLflow's database was made by a newer MLflow", file=path, why=why, do=do)
