"""A hash of the code that a stage runs: its entry and everything of brainuad that this imports, directly or not.

Snakemake does not see changes inside a package; this hash among a rule's params makes them count. Comments and
docstrings do not. `config`, `errors` and `cluster` are left out: what settings say reaches a job through its params,
and a new model's settings must not retrain the others; where a job runs changes nothing that it computes.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
LEFT_OUT = ("brainuad", "brainuad.config", "brainuad.errors", "brainuad.cluster")


@cache
def code_hash(*entries: str) -> str:
    """Twelve hex digits over these modules (e.g. `brainuad.train.job`) and what they import statically."""
    digest = hashlib.sha256()
    for module in sorted(imported(*entries)):
        digest.update(f"{module} {_code(module)[0]}".encode())
        for template in sorted((_path(module).parent / "templates").glob("*")):
            digest.update(template.read_bytes())
    return digest.hexdigest()[:12]


def imported(*entries: str) -> set[str]:
    """The modules of brainuad that these import, themselves included; imports by name at run time are not seen."""
    seen: set[str] = set()
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += _code(module)[1]
    return seen


@cache
def _code(module: str) -> tuple[str, list[str]]:
    """A module's syntax tree as text, without docstrings, and its imports from brainuad."""
    tree = ast.parse(_path(module).read_bytes())
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [name for name in names if _counts(name)]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return ast.dump(tree), found


def _counts(name: str) -> bool:
    inside = name.startswith("brainuad.") and _path(name).is_file()
    return inside and not any(name == out or (out != "brainuad" and name.startswith(f"{out}.")) for out in LEFT_OUT)


def _path(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
