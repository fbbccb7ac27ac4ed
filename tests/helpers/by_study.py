"""Tests in several processes: those that share a study go to one, since each process would run the study again."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

SHARED = "finished"
"""The fixture with the study."""


class ByStudy(LoadScopeScheduling):  # type: ignore[misc]
    """Tests with the shared study are one unit of work; the others of a file are another."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        return SHARED if name.partition("[")[0] in sharing(self.config.rootpath / path) else path


@cache
def sharing(path: Path) -> set[str]:
    """The functions of a file that ask for the shared study, by themselves or by another fixture of the file."""
    functions = (each for each in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(each, ast.FunctionDef))
    asked = {each.name: {argument.arg for argument in each.args.args} for each in functions}
    found = {SHARED}
    while new := {name for name, arguments in asked.items() if arguments & found} - found:
        found |= new
    return found
