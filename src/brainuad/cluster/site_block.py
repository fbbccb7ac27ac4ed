"""The site block of a Slurm profile: the one place that names the account, the partitions and the like."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from brainuad.errors import InputError
from brainuad.formats.files import atomic

FIRST_LINE, LAST_LINE = "# --- The site", "# --- End of the site"
DEFAULT_RESOURCES = "default-resources"
STATUS_COMMAND = "brainuad-slurm-status-command"
FORMER_KEYS = {"slurm-status-command": STATUS_COMMAND}
DESCRIPTIONS = {
    "slurm_account": "the account to charge",
    "slurm_partition": "of jobs without a GPU; Slurm's default if left out",
    "gpu_partition": "of jobs with a GPU, if it is another",
    "gpu_type": "where there are several: `sinfo -o '%P %G'`",
    "qos": "",
    "gpu_qos": "of jobs with a GPU, if it is another",
    "constraint": "a feature that nodes must have",
    "gpu_constraint": "of jobs with a GPU, if it is another",
    "gpu_account": "of jobs with a GPU, if it is another",
    "tmpdir": "scratch space of a node, if it is not $TMPDIR: /scratch/$USER",
    "mem_mb": "of rules that request none",
    "runtime": "minutes, of rules that request none",
    "disk_mb": "a number: else Snakemake asks for file sizes while it plans, and warns; Slurm is not asked",
}
"""Meaning of each default resource of the block; those without a value are shown as comments."""
ALWAYS = {"disk_mb": 1000}
"""Lines that a profile from before gets."""

PYTHON_NAMES = {*vars(builtins), "input", "attempt", "threads", "wildcards", "shutil"}
"""Snakemake evaluates a resource as Python where it can: a partition called `all` needs quotes within quotes."""


def read_site_block(profile: Path) -> dict[str, Any]:
    """The values in a profile's site block. Raises InputError if the profile has no such block."""
    content = yaml.safe_load(_split_profile(profile)[1]) or {}
    outer = {FORMER_KEYS.get(key, key): value for key, value in content.items() if key != DEFAULT_RESOURCES}
    values = {**outer, **(content.get(DEFAULT_RESOURCES) or {})}
    return {key: value.strip("'") if isinstance(value, str) else value for key, value in values.items()}


def write_site_block(profile: Path, values: Mapping[str, Any]) -> bool:
    """Replace the values of a profile's site block; returns whether the file changed."""
    before, old, after = _split_profile(profile)
    new = format_site_block(values)
    if new == old:
        return False
    with atomic(profile) as part:
        part.write_text(before + new + after, encoding="utf-8")
    return True


def format_site_block(values: Mapping[str, Any]) -> str:
    """The lines of a site block with these values."""
    values = {**ALWAYS, **values}
    status_command = values.get(STATUS_COMMAND, "squeue")
    outer = [
        _format_line("jobs", values.get("jobs", 100), "maximum in the queue at once"),
        _format_line(STATUS_COMMAND, status_command, "sacct where Slurm keeps accounting"),
    ]
    further = [key for key in values if key not in (*DESCRIPTIONS, "jobs", STATUS_COMMAND)]
    inner = [_format_line(key, values.get(key), DESCRIPTIONS.get(key, "")) for key in (*DESCRIPTIONS, *further)]
    return "\n".join([*outer, f"{DEFAULT_RESOURCES}:", *(f"  {line}" for line in inner)]) + "\n"


def _format_line(key: str, value: Any, description: str) -> str:
    is_empty = value in (None, "")
    if isinstance(value, str) and (value in PYTHON_NAMES or re.match(r"\d+\W", value)):
        value = f"'{value}'"
    pair = f"{key}:" if is_empty else yaml.safe_dump({key: value}, width=1000).strip()
    return f"{'# ' if is_empty else ''}{pair}{f'  # {description}' if description else ''}"


def _split_profile(profile: Path) -> tuple[str, str, str]:
    """The text before, in and after the site block."""
    try:
        content = profile.read_text(encoding="utf-8")
    except OSError as error:
        do = "type the command in a clone of brainuad, or name the profile with --profile"
        raise InputError(f"{profile} cannot be read", why=error.strerror, do=do) from None
    block = re.search(rf"^{FIRST_LINE}.*\n((?:.*\n)*?)(?={LAST_LINE})", content, re.MULTILINE)
    if not block:
        do = f"put `{FIRST_LINE} ---` and `{LAST_LINE} ---` around its jobs and default-resources"
        raise InputError("the profile has no site block", file=profile, do=do)
    return content[: block.start(1)], block[1], content[block.end(1) :]
