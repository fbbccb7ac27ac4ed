import asyncio
import threading
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import ResourceList
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

import snakemake_executor_plugin_brainuad_slurm as plugin
from brainuad.cluster import job_queue, job_status
from brainuad.cluster.site import Partition

DOWN = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
SHORT = [Partition("short", True, True, 240)]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Persistence:
    """Snakemake's marks of unfinished outputs."""

    def __init__(self, started=(), unfinished=()):
        self.started, self.unfinished = started, unfinished

    def deactivate_cache(self):
        pass

    def external_jobids(self, job):
        return ["1"] if job.name in self.started else []

    async def incomplete(self, job):
        return ["file"] if job.name in self.unfinished else []


class Output:
    def __init__(self, there):
        self.there = there

    async def exists(self):
        return self.there


def job(name, outputs=True, **resources):
    """As much of a Snakemake job as the executor uses."""
    return SimpleNamespace(
        name=name,
        rule=SimpleNamespace(name="train"),
        is_group=lambda: False,
        is_local=False,
        log_info=lambda: None,
        output=[Output(outputs)],
        resources=ResourceList(fromdict=resources),
    )


def submitted(*numbers, outputs=True):
    return [SubmittedJobInfo(job(f"job{n}", outputs), n, {"slurm_logfile": f"{n}.log"}) for n in numbers]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def spoken():
    return []


@pytest.fixture
def make(monkeypatch, tmp_path, clock, spoken):
    """Makes executors of runs that submit nothing: what the Slurm plugin would submit is in `submitted`."""
    monkeypatch.chdir(tmp_path)

    def submit(self, job):
        if job.name == "broken":
            raise ValueError("the given account appears to be invalid")
        self.submitted.append(job)

    def remote_init(self, workflow, logger):
        self.workflow, self.dag, self.logger = workflow, workflow.dag, logger
        self._next_seconds_between_status_checks = None
        self.done, self.failed, self.submitted = [], {}, []
        self.__post_init__()

    def slurm_post_init(self, test_mode=False):
        self.run_uuid = "0c52"

    monkeypatch.setattr(RemoteExecutor, "__init__", remote_init)
    monkeypatch.setattr(SlurmExecutor, "__post_init__", slurm_post_init)
    monkeypatch.setattr(SlurmExecutor, "run_job", submit)
    monkeypatch.setattr(RemoteExecutor, "report_job_success", lambda self, info: self.done.append(info.external_jobid))
    monkeypatch.setattr(
        RemoteExecutor,
        "report_job_error",
        lambda self, info, msg=None, **_: self.failed.update({info.external_jobid or info.job.name: msg}),
    )

    def executor(status_command="squeue", jobs=(), **marks):
        workflow = SimpleNamespace(
            executor_settings=plugin.ExecutorSettings(
                status_command=status_command, init_seconds_before_status_checks=20
            ),
            remote_execution_settings=SimpleNamespace(seconds_between_status_checks=20),
            persistence=Persistence(**marks),
            dag=SimpleNamespace(needrun_jobs=lambda: list(jobs)),
        )
        made = plugin.Executor(workflow, SimpleNamespace(warning=spoken.append))
        made._tracker.clock = clock
        return made

    return executor


def poll(executor, active):
    async def gather():
        return [info.external_jobid async for info in executor.check_active_jobs(active)]

    return asyncio.run(gather())


def test_what_squeue_says_is_reported(slurm, make):
    slurm(squeue="printf '1|COMPLETED\\n2|RUNNING\\n3|TIMEOUT\\n4|PENDING\\n5|COMPLETING\\n'")
    executor = make()
    assert poll(executor, submitted("1", "2", "3", "4", "5")) == ["2", "4", "5"]
    assert executor.done == ["1"]
    assert "SLURM status is: 'TIMEOUT'" in executor.failed["3"]
    assert executor.next_seconds_between_status_checks == 20


def test_what_sacct_says_is_reported(slurm, make):
    slurm(squeue=DOWN, sacct="printf '1|COMPLETED\\n2|RUNNING\\n3|CANCELLED by 1000\\n4|PENDING\\n'")
    executor = make("sacct")
    assert poll(executor, submitted("1", "2", "3", "4")) == ["2", "4"]
    assert executor.done == ["1"]
    assert "SLURM status is: 'CANCELLED'" in executor.failed["3"]


@pytest.mark.parametrize(("state", "verdict"), [("RUNNING", "runs"), ("COMPLETED", "done"), ("NODE_FAIL", "failed")])
@pytest.mark.parametrize("asked", ["squeue", "sacct"])
def test_a_job_that_a_list_lacks_is_asked_about_alone(slurm, make, clock, asked, state, verdict):
    """Accounts are late, and a user's view of the queue may be narrow."""
    slurm(sacct="true", squeue="true", scontrol=f"echo 'JobId=1 JobState={state} Reason=None'")
    executor = make(asked, started=["job1"])
    poll(executor, submitted("1"))
    clock.now += job_status.TRANSIENT_SECONDS
    runs = poll(executor, submitted("1"))
    assert (runs, executor.done, list(executor.failed)) == tuple(
        ["1"] * (verdict == v) for v in ("runs", "done", "failed")
    )


def test_a_job_is_not_given_up_while_the_controller_is_silent(slurm, make, clock):
    slurm(squeue="true", scontrol=DOWN)
    executor = make(started=["job1"])
    for _ in range(3):
        assert poll(executor, submitted("1")) == ["1"]
        clock.now += job_status.TRANSIENT_SECONDS


def test_a_job_in_doubt_holds_up_no_other(slurm, make, clock):
    slurm(sacct="true", scontrol=DOWN)
    executor, active = make("sacct"), submitted("1", "2")
    poll(executor, active)
    clock.now += job_status.TRANSIENT_SECONDS
    slurm(sacct="echo '2|COMPLETED'", scontrol=DOWN)
    assert poll(executor, active) == ["1"]
    assert executor.done == ["2"]


def test_polls_become_rarer_while_nothing_ends(slurm, make):
    slurm(squeue="echo '1|RUNNING'")
    executor = make()
    pauses = []
    for _ in range(20):
        poll(executor, submitted("1"))
        pauses.append(executor.next_seconds_between_status_checks)
    assert pauses[:3] == [30, 40, 50]
    assert pauses[-1] == 180


def test_a_controller_that_is_away_loses_no_job(slurm, make, clock, spoken):
    executor, active = make(), submitted("1", "2")
    slurm(squeue=DOWN, sacct=DOWN)
    for _ in range(40):
        assert poll(executor, active) == ["1", "2"]
        clock.now += job_status.OUTAGE_POLL_SECONDS
    assert len(spoken) == 2, "once at the start, and once after ten minutes"
    assert "Unable to contact slurm controller" in spoken[0]
    slurm(squeue="printf '1|COMPLETED\\n2|RUNNING\\n'")
    assert poll(executor, active) == ["2"]
    assert executor.done == ["1"]
    assert spoken[-1] == "Slurm answers again after 800 s"


@pytest.mark.parametrize(
    ("marks", "outputs", "done", "failed"),
    [
        ({}, True, ["1"], []),
        ({}, False, [], ["1"]),
        ({"started": ["job1"]}, True, [], ["1"]),
        ({"unfinished": ["job1"]}, True, [], ["1"]),
    ],
)
def test_a_job_that_slurm_has_forgotten_is_judged_by_its_outputs(slurm, make, clock, marks, outputs, done, failed):
    slurm(scontrol="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    executor, active = make(**marks), submitted("1", outputs=outputs)
    assert poll(executor, active) == ["1"], "a first look proves nothing"
    assert executor.next_seconds_between_status_checks == job_status.OUTAGE_POLL_SECONDS
    clock.now += job_status.TRANSIENT_SECONDS
    assert poll(executor, active) == []
    assert (executor.done, list(executor.failed)) == (done, failed)


def test_a_job_that_is_requeued_goes_on(slurm, make, clock):
    executor, active = make(), submitted("1")
    for state in ("NODE_FAIL", "PREEMPTED", "PENDING", "RUNNING", "PREEMPTED", "PENDING"):
        slurm(squeue=f"echo '1|{state}'")
        assert poll(executor, active) == ["1"], state
        clock.now += job_status.TRANSIENT_SECONDS - 1
    slurm(squeue="echo '1|NODE_FAIL'")
    assert poll(executor, active) == ["1"]
    clock.now += job_status.TRANSIENT_SECONDS
    assert poll(executor, active) == []
    assert "NODE_FAIL" in executor.failed["1"]


def test_doubts_start_anew_after_an_outage(slurm, make, clock):
    executor, active = make(started=["job1"]), submitted("1")
    poll(executor, active)
    slurm(squeue=DOWN)
    poll(executor, active)
    clock.now += 10 * job_status.TRANSIENT_SECONDS
    slurm()
    assert poll(executor, active) == ["1"]


def test_a_fault_in_a_submission_is_reported_not_swallowed(slurm, make, tmp_path):
    executor = make()
    executor.run_jobs([job("fine"), job("broken")])
    executor._submissions.shutdown()
    assert [each.name for each in executor.submitted] == ["fine"]
    assert (tmp_path / job_queue.RUNS_FOLDER / "0c52").exists()
    assert "SLURM job submission failed. the given account" in executor.failed["broken"]


def test_more_than_two_jobs_are_submitted_at_once(slurm, make, monkeypatch):
    together = threading.Barrier(plugin.SUBMISSION_THREADS, timeout=10)
    monkeypatch.setattr(job_status.StatusTracker, "wait_for_controller", lambda tracker: together.wait())
    executor = make()
    jobs = [job(f"job{number}") for number in range(2 * plugin.SUBMISSION_THREADS)]
    executor.run_jobs(jobs[: plugin.SUBMISSION_THREADS])
    executor.run_jobs(jobs[plugin.SUBMISSION_THREADS :])
    executor._submissions.shutdown()
    assert {each.name for each in executor.submitted} == {each.name for each in jobs}


def test_each_submitted_job_is_announced_to_the_loggers(slurm, make):
    announced = []
    one = job("one")
    one.log_info = lambda: announced.append("one")
    executor = make()
    executor.run_jobs([one])
    executor._submissions.shutdown()
    assert announced == ["one"]


def test_a_submission_waits_for_the_controller(slurm, make, spoken, monkeypatch, tmp_path):
    monkeypatch.setattr(job_status, "OUTAGE_POLL_SECONDS", 0.01)
    slurm(scontrol=f'echo asked >> {tmp_path}/asked; [ "$(/usr/bin/wc -l < {tmp_path}/asked)" -gt 3 ]')
    executor = make()
    executor.run_job(job("later"))
    assert (tmp_path / "asked").read_text().count("asked") == 4
    assert [each.name for each in executor.submitted] == ["later"]
    assert [line.split(" (")[0] for line in spoken] == [
        "Slurm's controller does not answer",
        "Slurm's controller answers again after 0 s",
    ]


def test_a_job_is_submitted_with_no_more_time_than_its_partition_gives(slurm, make):
    executor, reported = make(), []
    long, short = job("long", runtime=480), job("short", runtime=60)
    executor.run_job(long)
    executor.run_job(short)
    as_submitted, unchanged = executor.submitted
    assert (as_submitted.resources.runtime, as_submitted.resources.get("runtime")) == (240, 240)
    assert as_submitted.name == "long"
    assert long.resources.runtime == 480, "Snakemake's own job stays as it is"
    assert unchanged is short
    executor.report_job_error(SubmittedJobInfo(as_submitted, None), msg="no")
    assert executor.failed == {"long": "no"}
    assert plugin._snakemake_job(as_submitted) is long
    assert reported == []


def test_jobs_for_other_clusters_are_left_to_the_slurm_plugin(slurm, make, monkeypatch):
    far = job("far", runtime=480, clusters="far")
    executor = make(jobs=[far])
    executor.run_jobs([far])
    executor._submissions.shutdown()
    assert executor.submitted == [far], "its partition is not known here"
    cancelled = []
    monkeypatch.setattr(SlurmExecutor, "cancel_jobs", lambda self, jobs: cancelled.extend(jobs))
    executor.cancel_jobs(["a"])
    assert cancelled == ["a"]


def test_a_cancelled_run_does_not_say_that_the_controller_is_back(slurm, make, spoken):
    slurm(scontrol="exit 1")
    tracker = make()._tracker
    tracker.record_outage(job_status.CONTROLLER, "it is down")
    tracker.cancelled.set()
    tracker.wait_for_controller()
    assert len(spoken) == 1


def test_accounts_that_answer_do_not_say_that_the_controller_is_back(slurm, make, spoken):
    slurm(sacct="echo '1|RUNNING'")
    executor = make("sacct")
    for _ in range(3):
        executor._tracker.record_outage(job_status.CONTROLLER, "it is down")
        poll(executor, submitted("1"))
    assert len(spoken) == 1


def test_a_run_that_is_cancelled_submits_no_more_and_leaves_nothing_in_the_queue(slurm, make, tmp_path, monkeypatch):
    slurm(scancel=f'echo "$@" > {tmp_path}/cancelled')
    executor, held = make(), threading.Event()
    monkeypatch.setattr(job_status.StatusTracker, "wait_for_controller", lambda tracker: held.wait(10))
    executor.run_jobs([job(f"job{number}") for number in range(3 * plugin.SUBMISSION_THREADS)])
    threading.Timer(0.2, held.set).start()
    executor.cancel_jobs(["a"])
    assert executor.submitted == []
    assert f"--name={executor.run_uuid}" in (tmp_path / "cancelled").read_text()


def test_a_run_whose_jobs_cannot_be_cancelled_says_so(slurm, make, spoken):
    slurm(scancel="echo 'scancel: error: Unable to contact slurm controller' >&2; exit 1")
    make().cancel_jobs([])
    assert "Unable to contact slurm controller: jobs of this run may be left in the queue" in spoken[-1]


def test_no_account_is_guessed(make):
    assert list(make().get_account_arg(job("any"))) == [""]


def test_snakemake_finds_the_executor_and_jobs_run_in_job_steps(make):
    found = ExecutorPluginRegistry().get_plugin("brainuad-slurm")
    assert issubclass(found.executor, SlurmExecutor)
    assert found.get_cli_arg("status_command") == "--brainuad-slurm-status-command"
    assert "--executor slurm-jobstep" in make().additional_general_args()
