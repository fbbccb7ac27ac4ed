"""The site block of a Slurm profile: the one place where account, partitions and the like are named."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from brainuad.errors import InputError
from brainuad.formats.files import atomic

FIRST, LAST = "# --- The site", "# --- End of the site"
DEFAULTS = "default-resources"
ABOUT = {
    "slurm_account": "who is charged",
    "slurm_partition": "where jobs without a GPU go; Slurm's default if none is named",
    "gpu_partition": "where jobs with a GPU go, if not to the same",
    "gpu_type": "a GPU's type, where there are several: `sinfo -o '%P %G'`",
    "qos": "",
    "gpu_qos": "for jobs with a GPU, if it is another",
    "constraint": "a feature that nodes must have",
    "gpu_constraint": "for jobs with a GPU, if it is another",
    "gpu_account": "for jobs with a GPU, if it is another",
    "tmpdir": "scratch space of a node, if it is not $TMPDIR: /scratch/$USER",
    "mem_mb": "for rules that do not say",
    "runtime": "minutes, for rules that do not say",
}
"""What each default resource of the block means; those without a value are shown as comments."""

SPOKEN = {*vars(builtins), "input", "attempt", "threads", "wildcards", "shutil"}
"""Snakemake takes a resource for Python where it can: a partition called `all` needs quotes within quotes."""


def read(path: Path) -> dict[str, Any]:
    """The values in a profile's site block. Raises InputError if the profile has no such block."""
    content = yaml.safe_load(_parts(path)[1]) or {}
    flat = {**{key: value for key, value in content.items() if key != DEFAULTS}, **(content.get(DEFAULTS) or {})}
    return {key: value.strip("'") if isinstance(value, str) else value for key, value in flat.items()}


def write(path: Path, values: Mapping[str, Any]) -> bool:
    """Put these values into a profile's site block and leave all else as it is; whether anything changed."""
    before, old, after = _parts(path)
    new = text(values)
    if new == old:
        return False
    with atomic(path) as part:
        part.write_text(before + new + after, encoding="utf-8")
    return True


def text(values: Mapping[str, Any]) -> str:
    """The lines of a site block with these values."""
    outer = [
        _line("jobs", values.get("jobs", 100), "at most so many in the queue at once"),
        _line("slurm-status-command", values.get("slurm-status-command", "squeue"), "sacct where Slurm keeps accounts"),
    ]
    own = [key for key in values if key not in (*ABOUT, "jobs", "slurm-status-command")]
    inner = [_line(key, values.get(key), ABOUT.get(key, "")) for key in (*ABOUT, *own)]
    return "\n".join([*outer, f"{DEFAULTS}:", *(f"  {line}" for line in inner)]) + "\n"


def _line(key: str, value: Any, about: str) -> str:
    empty = value in (None, "")
    if isinstance(value, str) and (value in SPOKEN or re.match(r"\d+\W", value)):
        value = f"'{value}'"
    words = f"{key}:" if empty else yaml.safe_dump({key: value}, width=1000).strip()
    return f"{'# ' if empty else ''}{words}{f'  # {about}' if about else ''}"


def _parts(path: Path) -> tuple[str, str, str]:
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        do = "type the command in a clone of brainuad, or name the profile with --profile"
        raise InputError(f"{path} cannot be read", why=error.strerror, do=do) from None
    found = re.search(rf"^{FIRST}.*\n((?:.*\n)*?)(?={LAST})", content, re.MULTILINE)
    if not found:
        do = f"put `{FIRST} ---` and `{LAST} ---` around its jobs and default-resources"
        raise InputError("the profile has no site block", file=path, do=do)
    return content[: found.start(1)], found[1], content[found.end(1) :]
