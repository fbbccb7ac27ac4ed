"""A cluster's partitions with their GPUs and time limits, the user's accounts, and the profile values they suggest."""

from __future__ import annotations

import getpass
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brainuad.cluster.allocation import parse_seconds
from brainuad.cluster.site_block import STATUS_COMMAND
from brainuad.cluster.slurm_commands import SlurmCommandError, accounting_is_available, run_slurm
from brainuad.errors import InputError

SINFO_FORMAT = "--format=%P|%a|%l|%D|%G"
"""Partition (with a star if it is the default), up or down, time limit, nodes, and GRES (such as GPUs) of a node."""


@dataclass
class Partition:
    """A partition of the cluster."""

    name: str
    is_default: bool
    is_up: bool
    limit_minutes: int | None
    """Time limit; None without one."""
    gpus: dict[str, int] = field(default_factory=dict)
    """GPUs of one node by type; the type is "" where Slurm names none."""

    def __str__(self) -> str:
        types = ", ".join(gpu_type or "no type named" for gpu_type in self.gpus)
        return f"{self.name} ({'GPUs: ' + types if self.gpus else 'no GPU'}, {_limit_in_words(self.limit_minutes)})"


def query_partitions(include_hidden: bool = False) -> list[Partition]:
    """The partitions that this user sees. Raises SlurmCommandError if Slurm does not answer."""
    partitions: dict[str, Partition] = {}
    for line in run_slurm("sinfo", *["--all"] * include_hidden, "--noheader", SINFO_FORMAT).splitlines():
        name, up, limit, nodes, gres = line.strip().split("|", 4)
        new = Partition(name.rstrip("*"), name.endswith("*"), up == "up", parse_minutes(limit))
        partition = partitions.setdefault(new.name, new)  # a partition has one line per kind of node
        if nodes != "0":
            for gpu_type, count in parse_gpus(gres).items():
                partition.gpus[gpu_type] = max(count, partition.gpus.get(gpu_type, 0))
    return list(partitions.values())


def parse_gpus(gres: str) -> dict[str, int]:
    """GPUs of a node by type: `gpu:a100:4(S:0-1),gpu:v100:2` gives 4 and 2; GPUs without a type are under ""."""
    gpus: dict[str, int] = {}
    for name, _, rest in (part.partition(":") for part in re.sub(r"\([^)]*\)", "", gres).split(",")):
        if name.strip() == "gpu":
            gpu_type, _, count = rest.rpartition(":")
            if not count.isdecimal():
                gpu_type, count = rest, "1"
            gpus[gpu_type] = gpus.get(gpu_type, 0) + int(count)
    return gpus


def parse_minutes(limit: str) -> int | None:
    """Minutes of a duration as Slurm writes it: `7-00:00:00`, `30:00`; None for `infinite`."""
    seconds = parse_seconds(limit)
    return None if seconds is None or math.isinf(seconds) else int(seconds // 60)


def query_accounts() -> list[str]:
    """The accounts that this user may charge, the default one first; empty where Slurm keeps no accounting."""
    user = getpass.getuser()
    try:
        default = run_slurm("sacctmgr", "-n", "-P", "show", "user", user, "format=DefaultAccount").split()
        every = run_slurm("sacctmgr", "-n", "-P", "show", "assoc", f"user={user}", "format=Account").split()
    except SlurmCommandError:
        return []
    return list(dict.fromkeys([*default, *every]))


def suggest_site_values(present: Mapping[str, Any]) -> dict[str, Any]:
    """Values for the profile's site block. Present values are kept as long as they exist on the cluster.

    Raises InputError if no partition is up.
    """
    partitions, accounts = [row for row in query_partitions() if row.is_up], query_accounts()
    if not partitions:
        raise InputError("no partition of this cluster is up", do="see `sinfo`, or ask who runs the cluster")
    kept = {key: value for key, value in present.items() if value not in (None, "")}
    names = [partition.name for partition in partitions]
    default = next((partition for partition in partitions if partition.is_default), None)
    with_gpus = [partition for partition in partitions if partition.gpus]
    without_gpus = [partition for partition in partitions if not partition.gpus]
    cpu = default or (without_gpus or partitions)[0]
    # The partition of CPU jobs is the last choice: GPU jobs would queue behind all others there.
    gpu = next((partition for partition in with_gpus if partition is not cpu), cpu if cpu.gpus else None)
    suggested: dict[str, Any] = {
        "slurm_account": accounts[0] if accounts else None,
        "slurm_partition": cpu.name,
        "gpu_partition": gpu.name if gpu else None,
    }
    if accounts and str(kept.get("slurm_account", "")).lower() not in [name.lower() for name in accounts]:
        kept.pop("slurm_account", None)
    for key in ("slurm_partition", "gpu_partition"):
        if not set(str(kept.get(key, "")).split(",")) <= set(names):
            kept.pop(key, None)
    chosen = suggested | kept
    gpu_types = {
        gpu_type
        for partition in partitions
        if partition.name == chosen["gpu_partition"]
        for gpu_type in partition.gpus
        if gpu_type
    }
    if kept.get("gpu_type") not in gpu_types:
        kept.pop("gpu_type", None)
    # With one type, naming it adds nothing; with several, a training may take whichever is free.
    status_command = "sacct" if accounting_is_available() else "squeue"
    return {**suggested, "gpu_type": None, **kept, STATUS_COMMAND: status_command}


def _limit_in_words(minutes: int | None) -> str:
    if minutes is None:
        return "no time limit"
    return f"jobs end after {minutes / 1440:g} days" if minutes >= 2880 else f"jobs end after {minutes / 60:g} h"
