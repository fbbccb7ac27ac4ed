"""Partition, account and GPU type of jobs with a GPU, from the default resources of the profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

GPU_DEFAULTS = {
    "slurm_partition": "gpu_partition",
    "slurm_account": "gpu_account",
    "qos": "gpu_qos",
    "constraint": "gpu_constraint",
    "gpu_model": "gpu_type",
}
"""Resources that Snakemake's Slurm plugin reads, and the default resource that replaces each in jobs with a GPU."""
SINGLE_NODE = {"nodes": 1, "tasks_per_gpu": 0}
"""Further resources of jobs with several GPUs. Slurm counts `--gpus` over all nodes of a job and may spread them over
nodes; and the plugin would ask for one task, with all the job's cores, per GPU."""


def gpu_resources(gpu_count: Callable[[Any], int], defaults: Mapping[str, Any] | None) -> dict[str, Callable[..., Any]]:
    """Resources of a rule whose jobs may use GPUs of one node: `gpu`, and for Slurm the partition and the like.

    `gpu_count`: the number of GPUs for given wildcards. `defaults`: `--default-resources` as parsed by Snakemake. A
    rule's resource hides the default of that name, so jobs without a GPU get the default passed on. None means: do
    not request it.
    """
    known = defaults or {}

    def resource(name: str) -> Callable[..., Any]:
        def value(wildcards: Any, input: Any, attempt: int, threads: int, rulename: str, async_run: Any) -> Any:  # noqa: A002
            if name in SINGLE_NODE and gpu_count(wildcards) > 1:
                return SINGLE_NODE[name]
            gpu_default = GPU_DEFAULTS.get(name, name)
            key = gpu_default if gpu_default in known and gpu_count(wildcards) else name
            default: Any = known[key] if key in known else None  # noqa: SIM401 - Snakemake's `get` never gives None
            if not hasattr(default, "evaluate"):
                return default
            aux = {"input": input, "attempt": attempt, "threads": threads, "rulename": rulename, "async_run": async_run}
            return (default.evaluate(wildcards, **aux) if default.is_evaluable() else default).value

        return value

    return {"gpu": gpu_count, **{name: resource(name) for name in (*GPU_DEFAULTS, *SINGLE_NODE)}}
