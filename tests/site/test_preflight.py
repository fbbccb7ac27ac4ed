import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.jobs import GroupJob
from snakemake.resources import Resources

from brainuad.cluster import job_queue, preflight, site
from brainuad.cluster.preflight import ResourceRequest
from brainuad.errors import BrainuadError

DOWN = """\
Slurmctld(primary) at head is DOWN
*****************************************
** RESTORE SLURMCTLD DAEMON TO SERVICE **
*****************************************"""
ROWS = [
    site.Partition("short", True, True, 240),
    site.Partition("gpu", False, True, 2880, {"a100": 4}),
    site.Partition("mixed", False, True, None, {"a100": 4, "v100": 2}),
    site.Partition("plain", False, True, None, {"": 1}),
    site.Partition("old", False, False, None),
]


def said(function, *arguments):
    with pytest.raises(BrainuadError) as caught:
        function(*arguments)
    return str(caught.value)


def job(rule="train", local=False, **resources):
    return SimpleNamespace(rule=SimpleNamespace(name=rule), is_local=local, resources=resources, is_group=bool)


def workflow(*jobs, module=preflight.EXECUTOR_MODULE, **settings):
    return SimpleNamespace(
        executor_plugin=SimpleNamespace(executor=type("Executor", (), {"__module__": module})),
        resource_settings=SimpleNamespace(cores=None, default_resources=None),
        executor_settings=SimpleNamespace(**{"status_command": "squeue", "array_jobs": None, **settings}),
        dag=SimpleNamespace(needrun_jobs=lambda: list(jobs)),
    )


def test_slurm_that_is_not_there_is_named(slurm):
    slurm(sbatch=None, squeue=None)
    text = said(preflight.require_slurm, "squeue")
    assert "error: Slurm was not found" in text
    assert "sbatch, squeue not on PATH" in text
    assert "login node" in text


def test_a_controller_that_is_down_is_named(slurm):
    slurm(scontrol=f"/bin/cat <<'END'\n{DOWN}\nEND\nexit 1")
    text = said(preflight.require_slurm, "squeue")
    assert "error: Slurm's controller does not answer" in text
    assert "scontrol: Slurmctld(primary) at head is DOWN" in text


def test_sacct_is_asked_for_only_where_it_answers(slurm):
    assert "write `brainuad-slurm-status-command: squeue`" in said(preflight.require_slurm, "sacct")
    preflight.require_slurm("squeue")
    slurm(sacct="true")
    preflight.require_slurm("sacct")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            ResourceRequest("train", "gqu"),
            ["there is no partition gqu", "gpu (GPUs: a100, jobs end after 2 days)", "brainuad site"],
        ),
        (ResourceRequest("train", "short,gqu"), ["there is no partition gqu"]),
        (ResourceRequest("train", "old"), ["the partition old is down", "up are: short"]),
        (ResourceRequest("train", "gpu", "clinc"), ["you may not use the account clinc", "you may use: lab, clinic"]),
        (
            ResourceRequest("train", "", gpus=1),
            ["train requests a GPU, and the partition short has none", "accelerator: cpu"],
        ),
        (
            ResourceRequest("train", "short", gpus=1),
            ["partitions with GPUs: gpu, mixed, plain", "write `gpu_partition: gpu`"],
        ),
        (ResourceRequest("train", "gpu", gpus=1, gpu_type="v100"), ["has no GPU of type v100", "there are: a100"]),
        (ResourceRequest("train", "plain", gpus=1, gpu_type="v100"), ["names no types of GPU"]),
        (
            ResourceRequest("train", "gpu", gpus=8),
            ["train requests 8 GPUs, and a node of the partition gpu has at most 4", "devices: 4"],
        ),
        (
            ResourceRequest("train", "gpu,plain", gpus=5),
            ["a node of the partition gpu,plain has at most 4", "GPUs of one node"],
        ),
        (ResourceRequest("train", "mixed", gpus=4, gpu_type="v100"), ["has at most 2", "another `gpu_partition`"]),
        (ResourceRequest("train", "short", minutes=241), ["requests 241 minutes", "gives at most 240", "wait forever"]),
    ],
)
def test_what_the_cluster_does_not_have_is_refused_with_a_remedy(request_, words):
    text = said(preflight.check_requests, [request_], ROWS, ["lab", "clinic"])
    assert all(word in text for word in words), text


def test_what_the_cluster_has_is_let_through():
    fine = [
        ResourceRequest("preprocess"),
        ResourceRequest("preprocess", "short", "LAB", minutes=240),
        ResourceRequest("train", "gpu", "lab", 4, "a100", 2880),
        ResourceRequest("train", "mixed", gpus=4, minutes=10**6),
        ResourceRequest("train", "plain", gpus=1, minutes=10**6),
        ResourceRequest("train", "short,plain", gpus=1, minutes=10**6),
    ]
    preflight.check_requests(fine, ROWS, ["lab", "clinic"])
    preflight.check_requests([ResourceRequest("train", "gpu", "whoever")], ROWS, [])


def test_a_cluster_without_any_gpu_is_told_so():
    text = said(preflight.check_requests, [ResourceRequest("train", gpus=1)], ROWS[:1], [])
    assert "no partition of this cluster has any" in text
    assert "gpu_partition" not in text


def test_requests_are_read_from_resources():
    resources = {"slurm_partition": "gpu", "gpu": 2, "gpu_model": "a100", "runtime": 60}
    assert preflight.resource_request(job(**resources)) == ResourceRequest("train", "gpu", "", 2, "a100", 60)
    assert preflight.resource_request(job(gres="gpu:v100:3", slurm_account="lab")) == ResourceRequest(
        "train", "", "lab", 3, "v100"
    )
    assert preflight.resource_request(job(gpu=0)) == ResourceRequest("train")


@pytest.mark.parametrize(
    ("partition", "requested", "limits"),
    [
        ("short", 480, {"runtime": 240}),
        ("short", 120, {}),
        ("gpu,short", 2400, {}),
        ("plain", 10**6, {}),
        ("", 480, {"runtime": 240}),
    ],
)
def test_a_second_try_asks_for_no_more_time_than_the_partition_gives(partition, requested, limits):
    assert preflight.limited_resources(job(slurm_partition=partition, runtime=requested), ROWS) == limits


def group(*members):
    workflow = SimpleNamespace(local_exec=False, execution_settings=SimpleNamespace(attempt=2))
    dag = SimpleNamespace(workflow=workflow)
    jobs = [SimpleNamespace(resources=each, pipe_group=None, dag=dag) for each in members]
    made = GroupJob("trainings", jobs, Resources())
    made.toposorted = [jobs]
    return made


def test_a_group_asks_for_no_more_than_its_partition_gives_and_for_one_node():
    one = {"_cores": 2, "_nodes": 1, "slurm_partition": "gpu", "runtime": 4000, "gpu": 1}
    one_node = {"nodes": 1, "tasks_per_gpu": 0}
    assert preflight.limited_resources(group(one, one), ROWS) == {"runtime": 2880} | one_node
    two = one | {"gpu": 2, "runtime": 60} | one_node
    assert preflight.limited_resources(group(two, two), ROWS) == one_node
    assert preflight.limited_resources(group({"_cores": 1, "_nodes": 1, "slurm_partition": "short"}), ROWS) == {}


def test_mixed_profiles_are_refused():
    text = said(preflight.refuse_profile, SimpleNamespace(cores=1, default_resources=None), 2, None)
    assert "`cores: 1` would give jobs on the cluster 1 of the 2 threads" in text
    text = said(preflight.refuse_profile, SimpleNamespace(cores=None, default_resources={"gpu_model": 1}), 2, None)
    assert "write `gpu_type` in place of `gpu_model`" in text
    preflight.refuse_profile(SimpleNamespace(cores=8, default_resources={}), 2, "")


def test_job_arrays_are_refused(slurm, tmp_path):
    text = said(preflight.preflight_checks, workflow(job(), array_jobs="preprocess"), tmp_path / "results", 2)
    assert "`brainuad-slurm-array-jobs` does not go with this workflow" in text
    assert "leave it out of profile and command" in text


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "results").write_text("a file")
    assert "correct `results`" in said(preflight.require_writable, tmp_path / "results")

    def full(_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", full)
    text = said(preflight.require_writable, tmp_path / "new")
    assert "Disk quota exceeded" in text
    assert "free some space" in text
    assert list((tmp_path / "new").iterdir()) == []


def recorded(folder: Path) -> str:
    rows = [
        f"5|RUNNING|0c52|rule_train_wildcards_dae_0|{folder}",
        f"6|PENDING|0c52|rule_infer_wildcards_dae_0_ixi|{folder}/",
        "7|RUNNING|77aa|rule_train_wildcards_dae_0|/elsewhere",
        f"8|RUNNING|bash|(null)|{folder}",
    ]
    return "/bin/cat <<'END'\n" + "\n".join(rows) + "\nEND"


def test_jobs_of_an_earlier_start_are_listed_and_others_left_alone(slurm, tmp_path):
    slurm(squeue=recorded(tmp_path))
    jobs = job_queue.jobs_of_earlier_runs(tmp_path)
    assert [(each.job_id, each.state) for each in jobs] == [("5", "RUNNING"), ("6", "PENDING")]
    text = said(job_queue.refuse_earlier_jobs, jobs)
    assert "2 jobs of an earlier start in this folder still wait or run" in text
    assert "5 running rule_train dae_0" in text
    assert "scancel 5 6" in text
    job_queue.refuse_earlier_jobs([])


def test_jobs_of_a_run_that_goes_on_are_its_own_business(slurm, tmp_path):
    slurm(squeue=recorded(tmp_path))
    with subprocess.Popen([sys.executable, "-c", "input()", "snakemake"], stdin=subprocess.PIPE) as run:
        job_queue.record_run("0c52", tmp_path)
        note = tmp_path / job_queue.RUNS_FOLDER / "0c52"
        host, _ = note.read_text().split()
        note.write_text(f"{host} {run.pid}")
        assert job_queue.jobs_of_earlier_runs(tmp_path) == []
        note.write_text(f"elsewhere {run.pid}")
        assert len(job_queue.jobs_of_earlier_runs(tmp_path)) == 2, "of another host it cannot be told"
        note.write_text(f"{host} {run.pid}")
        run.communicate(b"\n")
    assert len(job_queue.jobs_of_earlier_runs(tmp_path)) == 2
    job_queue.record_run("77aa", tmp_path)
    assert [path.name for path in (tmp_path / job_queue.RUNS_FOLDER).iterdir()] == ["77aa"], "notes of dead runs go"


def test_a_link_to_the_folder_is_the_folder(slurm, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    slurm(squeue=recorded(tmp_path / "link"))
    assert len(job_queue.jobs_of_earlier_runs(tmp_path)) == 2


def test_the_plain_slurm_executor_is_refused(tmp_path):
    text = said(preflight.preflight_checks, workflow(module="snakemake_executor_plugin_slurm"), tmp_path / "none", 2)
    assert "write `executor: brainuad-slurm` in the profile" in text
    assert not (tmp_path / "none").exists()


def test_a_run_elsewhere_than_on_slurm_is_not_looked_at(tmp_path):
    preflight.preflight_checks(workflow(module="snakemake.executors.local"), tmp_path / "none", 2)
    assert not (tmp_path / "none").exists()


def test_everything_is_looked_at_before_a_run(slurm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flow = workflow(job("report", local=True, gpu=9), job(gpu=1, clusters="far", slurm_partition="gpu"))
    preflight.preflight_checks(flow, tmp_path / "results", 2)
    slurm(squeue=recorded(tmp_path))
    assert "scancel 5 6" in said(preflight.preflight_checks, flow, tmp_path / "results", 2)
    flow = workflow(job(gpu=1))
    assert "train requests a GPU" in said(preflight.preflight_checks, flow, tmp_path / "results", 2)
