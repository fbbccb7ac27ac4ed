"""Where a job goes: rules say whether it has a GPU, the profile's default resources say what that means here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FOR_GPUS = {
    "slurm_partition": "gpu_partition",
    "slurm_account": "gpu_account",
    "qos": "gpu_qos",
    "constraint": "gpu_constraint",
    "gpu_model": "gpu_type",
}
"""What Snakemake's plugin for Slurm reads, and the default resource that replaces it in jobs with a GPU."""
SHARED = {"nodes": 1, "tasks_per_gpu": 0}
"""What jobs with several GPUs ask for besides. Slurm counts GPUs over all nodes of a job, and may take one here and one
there; the plugin would ask for a task, with all the job's cores, for each of them."""


def gpu_job(gpus: Callable[[Any], int], defaults: Mapping[str, Any] | None) -> dict[str, Callable[..., Any]]:
    """Resources of a rule whose jobs may ask for GPUs of one node: `gpu` and, for Slurm, where jobs go.

    `gpus`: wildcards to the number of GPUs. `defaults`: `--default-resources`, as Snakemake has parsed them. A rule's
    resource hides the default of that name, so those are handed on for jobs without a GPU. None means not to ask.
    """
    known = defaults or {}

    def answer(name: str) -> Callable[..., Any]:
        def value(wildcards: Any, input: Any, attempt: int, threads: int, rulename: str, async_run: Any) -> Any:  # noqa: A002
            if name in SHARED and gpus(wildcards) > 1:
                return SHARED[name]
            own = FOR_GPUS.get(name, name)
            key = own if own in known and gpus(wildcards) else name
            given: Any = known[key] if key in known else None  # noqa: SIM401 - Snakemake's `get` gives no None
            if not hasattr(given, "evaluate"):
                return given
            aux = {"input": input, "attempt": attempt, "threads": threads, "rulename": rulename, "async_run": async_run}
            return (given.evaluate(wildcards, **aux) if given.is_evaluable() else given).value

        return value

    return {"gpu": gpus, **{name: answer(name) for name in (*FOR_GPUS, *SHARED)}}
