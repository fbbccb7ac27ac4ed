from types import SimpleNamespace

import pytest
from snakemake.iocontainers import ResourceList
from snakemake.resources import Resources
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm_jobstep import get_cpu_setting, get_gpu_setting, get_node_setting

from brainuad.cluster.placement import gpu_resources

AUX = {"input": [], "attempt": 1, "threads": 2, "rulename": "train", "async_run": None}


def asked(count, *defaults):
    parsed = Resources.parse(list(defaults), allow_expressions=True) if defaults else None
    answers = gpu_resources(lambda wildcards: wildcards.count, parsed)
    wildcards = SimpleNamespace(count=count)
    values = {name: answer(wildcards, **AUX) for name, answer in answers.items() if name != "gpu"}
    return {"gpu": answers["gpu"](wildcards), **{name: value for name, value in values.items() if value is not None}}


def test_without_a_profile_only_the_number_of_gpus_is_asked():
    assert asked(1) == {"gpu": 1}


def test_jobs_with_a_gpu_go_where_the_profile_says():
    profile = ["slurm_partition=cpu", "gpu_partition=gpu", "gpu_type=a100", "qos=low", "slurm_account=lab", "mem_mb=5"]
    assert asked(0, *profile) == {"gpu": 0, "slurm_partition": "cpu", "qos": "low", "slurm_account": "lab"}
    registered = {"slurm_partition": "gpu", "qos": "low", "slurm_account": "lab"}
    assert asked(1, *profile) == {"gpu": 1, "gpu_model": "a100", **registered}


@pytest.mark.parametrize(
    ("gpus", "profile", "job", "step"),
    [
        (0, [], "--ntasks=1 --cpus-per-task=8", "--cpus-per-task=8 --nodes=1"),
        (1, [], "--ntasks-per-gpu=1 --cpus-per-task=8 --gpus=1", "--cpus-per-task=8 --gpus=1 --nodes=1"),
        (2, [], "--nodes=1 --cpus-per-task=16 --gpus=2", "--cpus-per-task=16 --gpus=2 --nodes=1"),
        (2, ["gpu_type=a100"], "--nodes=1 --cpus-per-task=16 --gpus=a100:2", "--cpus-per-task=16 --gpus=2 --nodes=1"),
        (2, ["tasks_per_gpu=3"], "--nodes=1 --cpus-per-task=16 --gpus=2", "--cpus-per-task=16 --gpus=2 --nodes=1"),
    ],
)
def test_several_gpus_are_of_one_node_and_one_task_has_their_cores(gpus, profile, job, step):
    """As Slurm's plugin makes the lines of `sbatch` and, in the job, of `srun`; its threads grow with the GPUs."""
    asking = SimpleNamespace(threads=8 * max(gpus, 1), resources=ResourceList(fromdict=asked(gpus, *profile)))
    named = dict.fromkeys(("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir"), "")
    line = (get_submit_command(asking, named) + set_gres_string(asking)).split()
    assert line[line.index("--comment") + 2 :] == job.split()
    within = " ".join([get_cpu_setting(asking, bool(gpus)), get_gpu_setting(asking), get_node_setting(asking)])
    assert within.split() == step.split()


def test_a_cluster_with_one_partition_needs_no_second_name():
    assert asked(1, "slurm_partition=main") == {"gpu": 1, "slurm_partition": "main"}


def test_nodes_are_the_profiles_to_say_but_for_several_gpus():
    assert asked(1, "nodes=3", "tasks_per_gpu=2") == {"gpu": 1, "nodes": 3, "tasks_per_gpu": 2}
    assert asked(2, "nodes=3", "tasks_per_gpu=2") == {"gpu": 2, "nodes": 1, "tasks_per_gpu": 0}


def test_expressions_and_quoted_names_are_understood():
    assert asked(0, "slurm_partition='all'")["slurm_partition"] == "all"
    assert asked(0, "slurm_partition='long' if attempt > 1 else 'short'")["slurm_partition"] == "short"
