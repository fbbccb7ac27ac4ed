"""Before the first job is submitted: what would make jobs fail, wait for ever or spoil files is said at once."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad.cluster import ask, queue, site
from brainuad.cluster.placement import SHARED
from brainuad.errors import ConfigError, InputError

PLUGIN = "snakemake_executor_plugin_slurm"
PROPOSE = "`brainuad site --write` fills the profile in from what Slurm says"
PROBE = b"\0" * 65536


@dataclass(frozen=True)
class Wish:
    """What jobs of one rule ask of the cluster. `minutes`: none if they do not say."""

    rule: str
    partition: str = ""
    account: str = ""
    gpus: int = 0
    gpu_type: str = ""
    minutes: int | None = None


def begin(workflow: Any, folder: Path, threads: int, warn: Callable[[str], object]) -> None:
    """Look before a run on Slurm starts, and make its executor patient; nothing for any other run.

    For Snakemake's `onstart`, which only a real run's main process reaches. `folder`: where results go; `threads`: of
    a training. Raises InputError or ConfigError with what is wrong.
    """
    if workflow.executor_plugin.executor.__module__ != PLUGIN:
        return
    from brainuad.cluster import patience

    refuse_profile(workflow.resource_settings, threads, workflow.executor_settings.array_jobs)
    refuse_silence(workflow.executor_settings.status_command)
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    rows = site.partitions(hidden=True)
    refuse_wishes({wish(job) for job in jobs}, rows, site.accounts())
    refuse_folder(folder)
    queue.refuse(queue.left_here(Path.cwd()))
    if not any(job.resources.get(key) for job in jobs for key in ("cluster", "clusters", "slurm_cluster")):
        patience.install(workflow, warn, lambda job: fit(job, rows))


def wish(job: Any) -> Wish:
    """What a job, or a group of jobs, asks for, from its resources."""
    asked: Mapping[str, Any] = job.resources
    partition, account = (str(asked.get(key) or "") for key in ("slurm_partition", "slurm_account"))
    gres = site.gpus(str(asked.get("gres") or ""))
    count = int(asked.get("gpu") or sum(gres.values()))
    kind = str(asked.get("gpu_model") or next(iter(gres), ""))
    runtime = asked.get("runtime")
    rule = job.groupid if job.is_group() else job.rule.name
    return Wish(rule, partition, account, count, kind, runtime if isinstance(runtime, int) else None)


def refuse_profile(resources: Any, threads: int, arrays: str | None) -> None:
    """Raises ConfigError for a profile that contradicts itself, or names rules as `arrays` of jobs."""
    cores = resources.cores
    if cores is not None and cores < threads:
        what = (
            f"`cores: {cores}` would give jobs on the cluster {cores} of the {threads} threads that the study asks for"
        )
        why = "a profile for one machine and one for a cluster are mixed"
        raise ConfigError(what, why=why, do="leave `cores` out of profile and command; on a cluster `jobs` counts")
    if resources.default_resources is not None and "gpu_model" in resources.default_resources:
        why = "a default holds for all jobs"
        raise ConfigError("every job would ask for a GPU", why=why, do="write `gpu_type` in place of `gpu_model`")
    if arrays:
        why = "the queue names waiting jobs of an array together, so they would be taken for lost and submitted again"
        do = "leave it out of profile and command"
        raise ConfigError("`slurm-array-jobs` does not go with this workflow", why=why, do=do)


def refuse_silence(status_command: str | None) -> None:
    """Raises InputError if Slurm is not there, does not answer, or keeps no accounts though the profile asks them."""
    if absent := ask.missing():
        why = f"{', '.join(absent)} not on PATH of {socket.gethostname()}"
        do = "log in to the cluster's login node or `module load slurm`; without a cluster: --profile profiles/local"
        raise InputError("Slurm is not there", why=why, do=do)
    try:
        ask.ask("scontrol", "ping")
    except ask.SilentError as error:
        do = "start again once `scontrol ping` says UP; if it stays down, ask who runs the cluster"
        why = "scontrol: " + " ".join((error.why or "").replace("*", "").split())
        raise InputError("Slurm's controller does not answer", why=why, do=do) from None
    if status_command == "sacct" and not ask.keeps_accounts():
        do = "write `slurm-status-command: squeue` in the profile's site block"
        raise InputError(
            "`sacct` does not answer", why="this Slurm keeps no accounts, or their database is away", do=do
        )


def refuse_wishes(wishes: Iterable[Wish], rows: list[site.Partition], accounts: list[str]) -> None:
    """Raises ConfigError for a partition, account, GPU or time limit that jobs name and the cluster does not have."""
    by_name = {row.name: row for row in rows}
    listed = "; ".join(str(row) for row in rows if row.up)
    for each in sorted(wishes, key=lambda each: (each.partition, each.rule)):
        names = _named(each, rows)
        for name in names:
            if name not in by_name:
                raise ConfigError(f"there is no partition {name}", why=f"there are: {listed}", do=PROPOSE)
            if not by_name[name].up:
                raise ConfigError(f"the partition {name} is down", why=f"up are: {listed}", do=PROPOSE)
        if each.account and accounts and each.account.lower() not in [name.lower() for name in accounts]:
            why = f"you may use: {', '.join(accounts)}"
            raise ConfigError(f"you may not use the account {each.account}", why=why, do=PROPOSE)
        where = [by_name[name] for name in names]
        if where:
            _refuse_gpus(each, where, rows)
            _refuse_minutes(each, where)


def _refuse_gpus(each: Wish, where: list[site.Partition], rows: list[site.Partition]) -> None:
    kinds = {kind for row in where for kind in row.gpus}
    name = ",".join(row.name for row in where)
    if not each.gpus:
        return
    if not kinds:
        other = [row.name for row in rows if row.gpus and row.up]
        why = f"partitions with GPUs: {', '.join(other)}" if other else "no partition of this cluster has any"
        point = f"write `gpu_partition: {other[0]}` in the profile's site block, or " if other else ""
        do = f"{point}write `compute: {{accelerator: cpu}}` in the study"
        raise ConfigError(f"{each.rule} asks for a GPU, and the partition {name} has none", why=why, do=do)
    if each.gpu_type and each.gpu_type not in kinds and kinds != {""}:
        why = f"there are: {', '.join(sorted(kinds - {''}))}"
        do = "correct `gpu_type` in the profile's site block, or leave it out"
        raise ConfigError(f"the partition {name} has no GPU of type {each.gpu_type}", why=why, do=do)
    if each.gpu_type and kinds == {""}:
        do = "leave `gpu_type` out of the profile's site block"
        raise ConfigError(f"the partition {name} names no types of GPU, so {each.gpu_type} is not found", do=do)
    # of one type: a training on GPUs of two types would go at the pace of the slower
    of_a_node = max(count for row in where for kind, count in row.gpus.items() if each.gpu_type in ("", kind))
    if each.gpus > of_a_node:
        what = f"{each.rule} asks for {each.gpus} GPUs, and a node of the partition {name} has at most {of_a_node}"
        do = f"write `compute: {{devices: {of_a_node}}}` in the study, or name another `gpu_partition` in the profile"
        raise ConfigError(what, why="one training takes the GPUs of one node", do=do)


def _refuse_minutes(each: Wish, where: list[site.Partition]) -> None:
    longest = _longest(where)
    if each.minutes and longest is not None and each.minutes > longest:
        name = ",".join(row.name for row in where)
        do = f"write `{each.rule}: runtime: {longest}` under `set-resources` in the profile, or name a longer partition"
        what = f"{each.rule} asks for {each.minutes} minutes, and the partition {name} gives at most {longest}"
        raise ConfigError(what, why="its jobs would wait for ever", do=do)


def fit(job: Any, rows: list[site.Partition]) -> None:
    """Let a job ask for no more minutes than its partition gives: a second try, which asks for more, would wait.

    So would a group: Snakemake adds up minutes and GPUs of its jobs, and runs them as one task on one node.
    """
    asked = wish(job)
    longest = _longest([row for row in rows if row.name in _named(asked, rows)])
    change: dict[str, int] = {}
    if asked.minutes and longest is not None:
        change["runtime"] = min(asked.minutes, longest)
    if not job.is_group():
        for name, value in change.items():
            setattr(job.resources, name, value)
        return
    if asked.gpus > 1:
        change |= SHARED
    job._resources.update(change)  # what `resources` of a group gives is a copy


def _named(each: Wish, rows: list[site.Partition]) -> list[str]:
    usual = next((row.name for row in rows if row.default), "")
    return [name for name in (each.partition or usual).split(",") if name]


def _longest(where: list[site.Partition]) -> int | None:
    limits = [row.minutes for row in where]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)


def refuse_folder(folder: Path) -> None:
    """Raises InputError if nothing can be written where results go: no right to, no space, or no quota left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as probe:
            probe.write(PROBE)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        do = (
            "free some space (`quota -s` and `df -h` tell)" if full else "correct `results` in the study, or its rights"
        )
        raise InputError(
            "nothing can be written where the results go", file=folder, why=error.strerror, do=do
        ) from None
