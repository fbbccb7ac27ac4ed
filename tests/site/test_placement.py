from types import SimpleNamespace

from snakemake.resources import Resources

from brainuad.cluster.placement import gpu_job

AUX = {"input": [], "attempt": 1, "threads": 2, "rulename": "train", "async_run": None}


def asked(count, *defaults):
    parsed = Resources.parse(list(defaults), allow_expressions=True) if defaults else None
    answers = gpu_job(lambda wildcards: wildcards.count, parsed)
    wildcards = SimpleNamespace(count=count)
    values = {name: answer(wildcards, **AUX) for name, answer in answers.items() if name != "gpu"}
    return {"gpu": answers["gpu"](wildcards), **{name: value for name, value in values.items() if value is not None}}


def test_without_a_profile_only_the_number_of_gpus_is_asked():
    assert asked(1) == {"gpu": 1}


def test_jobs_with_a_gpu_go_where_the_profile_says():
    profile = ["slurm_partition=cpu", "gpu_partition=gpu", "gpu_type=a100", "qos=low", "slurm_account=lab", "mem_mb=5"]
    assert asked(0, *profile) == {"gpu": 0, "slurm_partition": "cpu", "qos": "low", "slurm_account": "lab"}
    placed = {"slurm_partition": "gpu", "qos": "low", "slurm_account": "lab"}
    assert asked(2, *profile) == {"gpu": 2, "gpu_model": "a100", **placed}


def test_a_cluster_with_one_partition_needs_no_second_name():
    assert asked(1, "slurm_partition=main") == {"gpu": 1, "slurm_partition": "main"}


def test_expressions_and_quoted_names_are_understood():
    assert asked(0, "slurm_partition='all'")["slurm_partition"] == "all"
    assert asked(0, "slurm_partition='long' if attempt > 1 else 'short'")["slurm_partition"] == "short"
