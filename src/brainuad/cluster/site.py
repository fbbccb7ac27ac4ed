"""What a cluster has: partitions, their GPUs and time limits, the user's accounts; and what the profile should say."""

from __future__ import annotations

import getpass
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brainuad.cluster.allocation import seconds
from brainuad.cluster.ask import SilentError, ask, keeps_accounts
from brainuad.errors import InputError

FORMAT = "--format=%P|%a|%l|%D|%G"
"""Partition with a star if it is the default, up or down, time limit, nodes, GPUs and the like of a node."""


@dataclass
class Partition:
    """A partition. `minutes`: its time limit, none if it has none; `gpus`: type to GPUs of one node, "" for no type."""

    name: str
    default: bool
    up: bool
    minutes: int | None
    gpus: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        kinds = ", ".join(kind or "no type named" for kind in self.gpus)
        return f"{self.name} ({'GPUs: ' + kinds if self.gpus else 'no GPU'}, {_limit(self.minutes)})"


def partitions(hidden: bool = False) -> list[Partition]:
    """Every partition that this user sees, or also hidden ones. Raises SilentError if Slurm does not answer."""
    found: dict[str, Partition] = {}
    for line in ask("sinfo", *["--all"] * hidden, "--noheader", FORMAT).splitlines():
        name, up, limit, nodes, gres = line.strip().split("|", 4)
        row = Partition(name.rstrip("*"), name.endswith("*"), up == "up", minutes(limit))
        row = found.setdefault(row.name, row)
        if nodes != "0":
            for kind, count in gpus(gres).items():
                row.gpus[kind] = max(count, row.gpus.get(kind, 0))
    return list(found.values())


def gpus(gres: str) -> dict[str, int]:
    """GPUs of a node by type: `gpu:a100:4(S:0-1),gpu:v100:2` gives 4 and 2; a GPU without a type is under ""."""
    found: dict[str, int] = {}
    for name, _, rest in (part.partition(":") for part in re.sub(r"\([^)]*\)", "", gres).split(",")):
        if name.strip() == "gpu":
            kind, _, count = rest.rpartition(":")
            if not count.isdecimal():
                kind, count = rest, "1"
            found[kind] = found.get(kind, 0) + int(count)
    return found


def minutes(limit: str) -> int | None:
    """Minutes of a time as Slurm writes it: `7-00:00:00`, `30:00`, `infinite` (none)."""
    found = seconds(limit)
    return None if found is None or math.isinf(found) else int(found // 60)


def accounts() -> list[str]:
    """The accounts that this user may charge, the usual one first; none where Slurm keeps no accounts."""
    user = getpass.getuser()
    try:
        usual = ask("sacctmgr", "-n", "-P", "show", "user", user, "format=DefaultAccount").split()
        every = ask("sacctmgr", "-n", "-P", "show", "assoc", f"user={user}", "format=Account").split()
    except SilentError:
        return []
    return list(dict.fromkeys([*usual, *every]))


def proposal(present: Mapping[str, Any]) -> dict[str, Any]:
    """What the profile's site block should hold, given what it holds: what Slurm still has is kept as it stands.

    Raises InputError if no partition is up.
    """
    rows, known = [row for row in partitions() if row.up], accounts()
    if not rows:
        raise InputError("no partition of this cluster is up", do="see `sinfo`, or ask who runs the cluster")
    kept = {key: value for key, value in present.items() if value not in (None, "")}
    names = [row.name for row in rows]
    usual = next((row for row in rows if row.default), None)
    with_gpus = [row for row in rows if row.gpus]
    fitting = [row for row in rows if not row.gpus]
    cpu = usual or (fitting or rows)[0]
    # The partition of CPU jobs is the last choice: GPU jobs then stand in line with all others.
    gpu = next((row for row in with_gpus if row is not cpu), cpu if cpu.gpus else None)
    found: dict[str, Any] = {"slurm_account": known[0] if known else None, "slurm_partition": cpu.name}
    found |= {"gpu_partition": gpu.name if gpu else None}
    if known and str(kept.get("slurm_account", "")).lower() not in [name.lower() for name in known]:
        kept.pop("slurm_account", None)
    for key in ("slurm_partition", "gpu_partition"):
        if not set(str(kept.get(key, "")).split(",")) <= set(names):
            kept.pop(key, None)
    chosen = found | kept
    kinds = {kind for row in rows if row.name == chosen["gpu_partition"] for kind in row.gpus if kind}
    if kept.get("gpu_type") not in kinds:
        kept.pop("gpu_type", None)
    # With one type, naming it says nothing; with several, a training may take whichever is free.
    return {**found, "gpu_type": None, **kept, "slurm-status-command": "sacct" if keeps_accounts() else "squeue"}


def _limit(mins: int | None) -> str:
    if mins is None:
        return "no time limit"
    return f"jobs end after {mins / 1440:g} days" if mins >= 2880 else f"jobs end after {mins / 60:g} h"
