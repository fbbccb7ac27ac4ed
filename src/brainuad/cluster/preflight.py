"""Checks before the first job is submitted: for what would make jobs fail, wait forever, or overwrite files."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad.cluster.job_queue import jobs_of_earlier_runs, refuse_earlier_jobs
from brainuad.cluster.placement import SINGLE_NODE
from brainuad.cluster.site import Partition, parse_gpus, query_accounts, query_partitions
from brainuad.cluster.site_block import STATUS_COMMAND
from brainuad.cluster.slurm_commands import SlurmCommandError, accounting_is_available, missing_commands, run_slurm
from brainuad.errors import ConfigError, InputError

EXECUTOR_MODULE = "snakemake_executor_plugin_brainuad_slurm"
PLAIN_SLURM_MODULE = "snakemake_executor_plugin_slurm"
FILL_IN_PROFILE = "`brainuad site --write` fills the profile in from what Slurm reports"
PROBE = b"\0" * 65536


@dataclass(frozen=True)
class ResourceRequest:
    """What jobs of one rule request from the cluster."""

    rule: str
    partition: str = ""
    account: str = ""
    gpus: int = 0
    gpu_type: str = ""
    minutes: int | None = None
    """None if the rule requests no runtime."""


def preflight_checks(workflow: Any, results: Path, threads: int) -> None:
    """Check a run on Slurm before it starts; a run with another executor is not checked.

    For Snakemake's `onstart`, which only the main process of a real run reaches. `threads`: of a training job. Raises
    InputError or ConfigError with what is wrong.
    """
    executor_module = workflow.executor_plugin.executor.__module__
    if executor_module == PLAIN_SLURM_MODULE:
        why = "without brainuad's executor, jobs are lost while Slurm's controller restarts"
        do = f"write `executor: brainuad-slurm` in the profile, and `{STATUS_COMMAND}` for `slurm-status-command` etc."
        raise ConfigError("this workflow does not run with `executor: slurm`", why=why, do=do)
    if executor_module != EXECUTOR_MODULE:
        return
    refuse_profile(workflow.resource_settings, threads, workflow.executor_settings.array_jobs)
    require_slurm(workflow.executor_settings.status_command)
    requests = {resource_request(job) for job in workflow.dag.needrun_jobs() if not job.is_local}
    check_requests(requests, query_partitions(include_hidden=True), query_accounts())
    require_writable(results)
    refuse_earlier_jobs(jobs_of_earlier_runs(Path.cwd()))


def resource_request(job: Any) -> ResourceRequest:
    """The request of a Snakemake job, or of a group of jobs."""
    resources: Mapping[str, Any] = job.resources
    partition, account = (str(resources.get(key) or "") for key in ("slurm_partition", "slurm_account"))
    gres = parse_gpus(str(resources.get("gres") or ""))
    gpus = int(resources.get("gpu") or sum(gres.values()))
    gpu_type = str(resources.get("gpu_model") or next(iter(gres), ""))
    runtime = resources.get("runtime")
    rule = job.groupid if job.is_group() else job.rule.name
    return ResourceRequest(rule, partition, account, gpus, gpu_type, runtime if isinstance(runtime, int) else None)


def refuse_profile(resource_settings: Any, threads: int, array_jobs: str | None) -> None:
    """Raise ConfigError for a profile that contradicts itself or asks for job arrays."""
    cores = resource_settings.cores
    if cores is not None and cores < threads:
        what = (
            f"`cores: {cores}` would give jobs on the cluster {cores} of the {threads} threads that the study asks for"
        )
        why = "a profile for one machine and one for a cluster are mixed"
        raise ConfigError(what, why=why, do="leave `cores` out of profile and command; on a cluster `jobs` counts")
    if resource_settings.default_resources is not None and "gpu_model" in resource_settings.default_resources:
        why = "a default holds for all jobs"
        raise ConfigError("every job would request a GPU", why=why, do="write `gpu_type` in place of `gpu_model`")
    if array_jobs:
        why = "Slurm lists the waiting jobs of an array as one, so they would count as lost and be submitted again"
        do = "leave it out of profile and command"
        raise ConfigError("`brainuad-slurm-array-jobs` does not go with this workflow", why=why, do=do)


def require_slurm(status_command: str | None) -> None:
    """Raise InputError if Slurm is missing or silent, or has no accounting though `status_command` is `sacct`."""
    if missing := missing_commands():
        why = f"{', '.join(missing)} not on PATH of {socket.gethostname()}"
        do = "log in to the cluster's login node or `module load slurm`; without a cluster: --profile profiles/local"
        raise InputError("Slurm was not found", why=why, do=do)
    try:
        run_slurm("scontrol", "ping")
    except SlurmCommandError as error:
        do = "start again once `scontrol ping` says UP; if it stays down, ask who runs the cluster"
        why = "scontrol: " + " ".join((error.why or "").replace("*", "").split())
        raise InputError("Slurm's controller does not answer", why=why, do=do) from None
    if status_command == "sacct" and not accounting_is_available():
        why = "this Slurm keeps no accounting, or its database is down"
        do = f"write `{STATUS_COMMAND}: squeue` in the profile's site block"
        raise InputError("`sacct` does not answer", why=why, do=do)


def check_requests(requests: Iterable[ResourceRequest], partitions: list[Partition], accounts: list[str]) -> None:
    """Raise ConfigError for a partition, account, GPU or time limit that the cluster does not have.

    `accounts` is empty where Slurm keeps no accounting: accounts are not checked then.
    """
    by_name = {partition.name: partition for partition in partitions}
    up = "; ".join(str(partition) for partition in partitions if partition.is_up)
    for request in sorted(requests, key=lambda request: (request.partition, request.rule)):
        names = _partition_names(request, partitions)
        for name in names:
            if name not in by_name:
                raise ConfigError(f"there is no partition {name}", why=f"there are: {up}", do=FILL_IN_PROFILE)
            if not by_name[name].is_up:
                raise ConfigError(f"the partition {name} is down", why=f"up are: {up}", do=FILL_IN_PROFILE)
        if request.account and accounts and request.account.lower() not in [name.lower() for name in accounts]:
            why = f"you may use: {', '.join(accounts)}"
            raise ConfigError(f"you may not use the account {request.account}", why=why, do=FILL_IN_PROFILE)
        requested = [by_name[name] for name in names]
        if requested:
            _check_gpus(request, requested, partitions)
            _check_minutes(request, requested)


def _check_gpus(request: ResourceRequest, requested: list[Partition], partitions: list[Partition]) -> None:
    gpu_types = {gpu_type for partition in requested for gpu_type in partition.gpus}
    name = ",".join(partition.name for partition in requested)
    if not request.gpus:
        return
    if not gpu_types:
        alternatives = [partition.name for partition in partitions if partition.gpus and partition.is_up]
        has_none = "no partition of this cluster has any"
        why = f"partitions with GPUs: {', '.join(alternatives)}" if alternatives else has_none
        first = f"write `gpu_partition: {alternatives[0]}` in the profile's site block, or " if alternatives else ""
        do = f"{first}write `compute: {{accelerator: cpu}}` in the study"
        raise ConfigError(f"{request.rule} requests a GPU, and the partition {name} has none", why=why, do=do)
    if request.gpu_type and request.gpu_type not in gpu_types and gpu_types != {""}:
        why = f"there are: {', '.join(sorted(gpu_types - {''}))}"
        do = "correct `gpu_type` in the profile's site block, or leave it out"
        raise ConfigError(f"the partition {name} has no GPU of type {request.gpu_type}", why=why, do=do)
    if request.gpu_type and gpu_types == {""}:
        do = "leave `gpu_type` out of the profile's site block"
        raise ConfigError(f"the partition {name} names no types of GPU, so {request.gpu_type} is not found", do=do)
    # of one type: a training on GPUs of two types would go at the pace of the slower
    per_node = max(
        count
        for partition in requested
        for gpu_type, count in partition.gpus.items()
        if request.gpu_type in ("", gpu_type)
    )
    if request.gpus > per_node:
        what = f"{request.rule} requests {request.gpus} GPUs, and a node of the partition {name} has at most {per_node}"
        do = f"write `compute: {{devices: {per_node}}}` in the study, or name another `gpu_partition` in the profile"
        raise ConfigError(what, why="one training takes the GPUs of one node", do=do)


def _check_minutes(request: ResourceRequest, requested: list[Partition]) -> None:
    longest = _longest_limit(requested)
    if request.minutes and longest is not None and request.minutes > longest:
        name = ",".join(partition.name for partition in requested)
        do = (
            f"write `{request.rule}: runtime: {longest}` under `set-resources` in the profile, "
            "or name a longer partition"
        )
        what = f"{request.rule} requests {request.minutes} minutes, and the partition {name} gives at most {longest}"
        raise ConfigError(what, why="its jobs would wait forever", do=do)


def limited_resources(job: Any, partitions: list[Partition]) -> dict[str, int]:
    """The resources of a job that must differ from what it requests; empty if none must.

    A second attempt may request more minutes than its partition gives, and would wait forever. So would a group:
    Snakemake adds up the minutes and GPUs of its jobs, and runs them as one task on one node.
    """
    request = resource_request(job)
    limits: dict[str, int] = {}
    requested = [partition for partition in partitions if partition.name in _partition_names(request, partitions)]
    longest = _longest_limit(requested)
    if request.minutes and longest is not None and request.minutes > longest:
        limits["runtime"] = longest
    if job.is_group() and request.gpus > 1:
        limits |= SINGLE_NODE
    return limits


def _partition_names(request: ResourceRequest, partitions: list[Partition]) -> list[str]:
    default = next((partition.name for partition in partitions if partition.is_default), "")
    return [name for name in (request.partition or default).split(",") if name]


def _longest_limit(requested: list[Partition]) -> int | None:
    """Minutes; None if one of the partitions has no limit."""
    limits = [partition.limit_minutes for partition in requested]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)


def require_writable(folder: Path) -> None:
    """Raise InputError if the results cannot be written: no permission, no space, or no quota left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as probe:
            probe.write(PROBE)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        do = (
            "free some space (see `quota -s` and `df -h`)"
            if is_full
            else "correct `results` in the study, or its rights"
        )
        raise InputError("the results cannot be written", file=folder, why=error.strerror, do=do) from None
