"""The shrunken study, run once for all tests of this folder. Those in `own/` have studies of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import Workspace, new_workspace


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-reruns", action="store_true", help="write docs/reruns.md instead of checking it")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The shrunken study, run to its end."""
    workspace = new_workspace(tmp_path_factory.mktemp("study"))
    done = workspace.snakemake(workspace.study())
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return workspace


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[[], Workspace]:
    """An empty folder of one's own."""
    return lambda: new_workspace(tmp_path / "own")
