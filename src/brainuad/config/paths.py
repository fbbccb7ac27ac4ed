"""Paths in settings: `~` and variables of the environment, and what Snakemake would misread."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from brainuad.errors import ConfigError

MISREAD = re.compile(r"\{\s*[.\w]+\s*(,[^{}]*(\{[\d,]+\}[^{}]*)*)?\}|<[a-z][a-z0-9_]*>|[\0-\x1f\ud800-\udfff]")
"""What Snakemake takes for a wildcard or a path variable, control characters, and bytes that are no UTF-8."""
VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")


def misread(path: str | Path) -> str | None:
    """The part of a path that Snakemake would misread, such as `{v2}` or `<a>`; None if there is none."""
    found = MISREAD.search(str(path))
    return found and found.group()


def refuse_braces(clone: str | Path) -> None:
    """Raise ConfigError for a clone in whose path Snakemake would replace what stands in braces."""
    if set("{}") & set(str(clone)):
        do = "move the clone to a folder without { and } in its path"
        raise ConfigError("Snakemake cannot run from a folder with braces in its path", file=clone, do=do)


def expanded(path: str) -> str:
    """A path with `~` and `$NAME` replaced; `${NAME}` is replaced as the study is read.

    A `$` elsewhere than at the start is a letter of the name where a file of that name exists. Raises ValueError for an
    unknown user, a variable that is not set, and what Snakemake would misread.
    """
    if not path.strip():
        raise ValueError("a path is empty")
    if path.startswith("~"):
        path = _home(path.partition("/")[0]) + path[len(path.partition("/")[0]) :]
    elif path.startswith("$") or ("$" in path and not Path(path).exists()):
        path = VARIABLE.sub(_value, path)
    if part := misread(path):
        raise ValueError(
            f"Snakemake would misread {part!r} in {path}; rename the folder, or link to it by another name"
        )
    return path


PathText = Annotated[str, AfterValidator(expanded)]


def _home(user: str) -> str:
    home = os.path.expanduser(user)  # noqa: PTH111 - Path.expanduser raises for an unknown user
    if home == user:
        raise ValueError(f"there is no user {user[1:]}; write ./{user} for a folder of that name")
    return home


def _value(match: re.Match[str]) -> str:
    value = os.environ.get(match.group(1))
    if not value:
        raise ValueError(f"the environment variable {match.group(1)} is not set")
    return value
