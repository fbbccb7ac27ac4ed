import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import ResourceList
from snakemake.jobs import GroupJob
from snakemake.resources import Resources

from brainuad.cluster import queue, site, start
from brainuad.cluster.start import Wish
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


def workflow(*jobs, module=start.PLUGIN, **settings):
    return SimpleNamespace(
        executor_plugin=SimpleNamespace(executor=type("Executor", (), {"__module__": module})),
        resource_settings=SimpleNamespace(cores=None, default_resources=None),
        executor_settings=SimpleNamespace(**{"status_command": "squeue", "array_jobs": None, **settings}),
        dag=SimpleNamespace(needrun_jobs=lambda: list(jobs)),
    )


def test_slurm_that_is_not_there_is_named(slurm):
    slurm(sbatch=None, squeue=None)
    text = said(start.refuse_silence, "squeue")
    assert "error: Slurm is not there" in text
    assert "sbatch, squeue not on PATH" in text
    assert "login node" in text


def test_a_controller_that_is_down_is_named(slurm):
    slurm(scontrol=f"/bin/cat <<'END'\n{DOWN}\nEND\nexit 1")
    text = said(start.refuse_silence, "squeue")
    assert "error: Slurm's controller does not answer" in text
    assert "scontrol: Slurmctld(primary) at head is DOWN" in text


def test_sacct_is_asked_for_only_where_it_answers(slurm):
    assert "write `slurm-status-command: squeue`" in said(start.refuse_silence, "sacct")
    start.refuse_silence("squeue")
    slurm(sacct="true")
    start.refuse_silence("sacct")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            Wish("train", "gqu"),
            ["there is no partition gqu", "gpu (GPUs: a100, jobs end after 2 days)", "brainuad site"],
        ),
        (Wish("train", "short,gqu"), ["there is no partition gqu"]),
        (Wish("train", "old"), ["the partition old is down", "up are: short"]),
        (Wish("train", "gpu", "clinc"), ["you may not use the account clinc", "you may use: lab, clinic"]),
        (Wish("train", "", gpus=1), ["train asks for a GPU, and the partition short has none", "accelerator: cpu"]),
        (Wish("train", "short", gpus=1), ["partitions with GPUs: gpu, mixed, plain", "write `gpu_partition: gpu`"]),
        (Wish("train", "gpu", gpus=1, gpu_type="v100"), ["has no GPU of type v100", "there are: a100"]),
        (Wish("train", "plain", gpus=1, gpu_type="v100"), ["names no types of GPU"]),
        (
            Wish("train", "gpu", gpus=8),
            ["train asks for 8 GPUs, and a node of the partition gpu has at most 4", "devices: 4"],
        ),
        (Wish("train", "gpu,plain", gpus=5), ["a node of the partition gpu,plain has at most 4", "GPUs of one node"]),
        (Wish("train", "mixed", gpus=4, gpu_type="v100"), ["has at most 2", "another `gpu_partition`"]),
        (Wish("train", "short", minutes=241), ["asks for 241 minutes", "gives at most 240", "wait for ever"]),
    ],
)
def test_what_the_cluster_does_not_have_is_refused_with_a_remedy(wish, words):
    text = said(start.refuse_wishes, [wish], ROWS, ["lab", "clinic"])
    assert all(word in text for word in words), text


def test_what_the_cluster_has_is_let_through():
    fine = [
        Wish("preprocess"),
        Wish("preprocess", "short", "LAB", minutes=240),
        Wish("train", "gpu", "lab", 4, "a100", 2880),
        Wish("train", "mixed", gpus=4, minutes=10**6),
        Wish("train", "plain", gpus=1, minutes=10**6),
        Wish("train", "short,plain", gpus=1, minutes=10**6),
    ]
    start.refuse_wishes(fine, ROWS, ["lab", "clinic"])
    start.refuse_wishes([Wish("train", "gpu", "whoever")], ROWS, [])


def test_a_cluster_without_any_gpu_is_told_so():
    text = said(start.refuse_wishes, [Wish("train", gpus=1)], ROWS[:1], [])
    assert "no partition of this cluster has any" in text
    assert "gpu_partition" not in text


def test_wishes_are_read_from_resources():
    resources = {"slurm_partition": "gpu", "gpu": 2, "gpu_model": "a100", "runtime": 60}
    assert start.wish(job(**resources)) == Wish("train", "gpu", "", 2, "a100", 60)
    assert start.wish(job(gres="gpu:v100:3", slurm_account="lab")) == Wish("train", "", "lab", 3, "v100")
    assert start.wish(job(gpu=0)) == Wish("train")


@pytest.mark.parametrize(
    ("partition", "asked", "given"),
    [("short", 480, 240), ("short", 120, 120), ("gpu,short", 2400, 2400), ("plain", 10**6, 10**6), ("", 480, 240)],
)
def test_a_second_try_asks_for_no_more_time_than_the_partition_gives(partition, asked, given):
    resources = ResourceList(fromdict={"slurm_partition": partition, "runtime": asked})
    start.fit(SimpleNamespace(rule=SimpleNamespace(name="train"), resources=resources, is_group=bool), ROWS)
    assert resources.get("runtime") == given


def group(*members):
    workflow = SimpleNamespace(local_exec=False, execution_settings=SimpleNamespace(attempt=2))
    dag = SimpleNamespace(workflow=workflow)
    jobs = [SimpleNamespace(resources=each, pipe_group=None, dag=dag) for each in members]
    made = GroupJob("trainings", jobs, Resources())
    made.toposorted = [jobs]
    return made


def test_a_group_asks_for_no_more_than_its_partition_gives_and_for_one_node():
    one = {"_cores": 2, "_nodes": 1, "slurm_partition": "gpu", "runtime": 4000, "gpu": 1}
    pair = group(one, one)
    start.fit(pair, ROWS)
    assert {name: pair.resources.get(name) for name in ("runtime", "gpu", "nodes", "tasks_per_gpu", "_cores")} == {
        "runtime": 2880,
        "gpu": 2,
        "nodes": 1,
        "tasks_per_gpu": 0,
        "_cores": 4,
    }
    two = one | {"gpu": 2, "nodes": 1, "tasks_per_gpu": 0, "runtime": 60}
    pair = group(two, two)
    start.fit(pair, ROWS)
    assert [pair.resources.get(name) for name in ("runtime", "gpu", "nodes")] == [60, 4, 1]
    alone = group({"_cores": 1, "_nodes": 1, "slurm_partition": "short"})
    start.fit(alone, ROWS)
    assert [alone.resources.get(name) for name in ("runtime", "nodes")] == [None, None]


def test_mixed_profiles_are_refused():
    text = said(start.refuse_profile, SimpleNamespace(cores=1, default_resources=None), 2, None)
    assert "`cores: 1` would give jobs on the cluster 1 of the 2 threads" in text
    text = said(start.refuse_profile, SimpleNamespace(cores=None, default_resources={"gpu_model": 1}), 2, None)
    assert "write `gpu_type` in place of `gpu_model`" in text
    start.refuse_profile(SimpleNamespace(cores=8, default_resources={}), 2, "")


def test_job_arrays_are_refused(slurm, tmp_path):
    text = said(start.begin, workflow(job(), array_jobs="preprocess"), tmp_path / "results", 2, print)
    assert "`slurm-array-jobs` does not go with this workflow" in text
    assert "leave it out of profile and command" in text


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "results").write_text("a file")
    assert "correct `results`" in said(start.refuse_folder, tmp_path / "results")

    def full(_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", full)
    text = said(start.refuse_folder, tmp_path / "new")
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
    jobs = queue.left_here(tmp_path)
    assert [(each.number, each.state) for each in jobs] == [("5", "RUNNING"), ("6", "PENDING")]
    text = said(queue.refuse, jobs)
    assert "2 jobs of an earlier start in this folder still wait or run" in text
    assert "5 running rule_train dae_0" in text
    assert "scancel 5 6" in text
    queue.refuse([])


def test_jobs_of_a_run_that_goes_on_are_its_own_business(slurm, tmp_path):
    slurm(squeue=recorded(tmp_path))
    with subprocess.Popen([sys.executable, "-c", "input()", "snakemake"], stdin=subprocess.PIPE) as run:
        queue.note("0c52", tmp_path)
        note = tmp_path / queue.NOTES / "0c52"
        host, _ = note.read_text().split()
        note.write_text(f"{host} {run.pid}")
        assert queue.left_here(tmp_path) == []
        note.write_text(f"elsewhere {run.pid}")
        assert len(queue.left_here(tmp_path)) == 2, "of another host it cannot be told"
        note.write_text(f"{host} {run.pid}")
        run.communicate(b"\n")
    assert len(queue.left_here(tmp_path)) == 2
    queue.note("77aa", tmp_path)
    assert [path.name for path in (tmp_path / queue.NOTES).iterdir()] == ["77aa"], "notes of dead runs go"


def test_a_link_to_the_folder_is_the_folder(slurm, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    slurm(squeue=recorded(tmp_path / "link"))
    assert len(queue.left_here(tmp_path)) == 2


def test_a_run_elsewhere_than_on_slurm_is_not_looked_at(tmp_path):
    start.begin(workflow(module="snakemake.executors.local"), tmp_path / "none", 2, print)
    assert not (tmp_path / "none").exists()


def test_everything_is_looked_at_before_a_run(slurm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flow = workflow(job("report", local=True, gpu=9), job(gpu=1, clusters="far", slurm_partition="gpu"))
    start.begin(flow, tmp_path / "results", 2, print)
    slurm(squeue=recorded(tmp_path))
    assert "scancel 5 6" in said(start.begin, flow, tmp_path / "results", 2, print)
    flow = workflow(job(gpu=1))
    assert "train asks for a GPU" in said(start.begin, flow, tmp_path / "results", 2, print)
