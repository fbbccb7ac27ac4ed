import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from brainuad.cluster import patience, queue, start

DOWN = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


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


class Executor:
    """As much of the plugin's executor as is relied on."""

    def __init__(self, status_command="squeue", **marks):
        settings = SimpleNamespace(init_seconds_before_status_checks=20, status_command=status_command)
        self.workflow = SimpleNamespace(executor_settings=settings, persistence=Persistence(**marks))
        self.run_uuid, self.next_seconds_between_status_checks = "0c52", 20
        self.done, self.failed, self.submitted = [], {}, []
        self._job_submission_executor = ThreadPoolExecutor(2)

    def run_jobs(self, jobs):
        for job in jobs:
            self._job_submission_executor.submit(self.run_job, job)

    def run_job(self, job):
        if job == "broken":
            raise ValueError("the given account appears to be invalid")
        self.submitted.append(job)

    def report_job_success(self, job_info):
        self.done.append(job_info.external_jobid)

    def report_job_error(self, job_info, msg=None, **kwargs):
        self.failed[job_info.external_jobid] = msg


class Output:
    def __init__(self, there):
        self.there = there

    async def exists(self):
        return self.there


def submitted(*numbers, outputs=True):
    jobs = [SimpleNamespace(name=f"job{n}", is_group=lambda: False, output=[Output(outputs)]) for n in numbers]
    return [SubmittedJobInfo(job, n, {"slurm_logfile": f"{n}.log"}) for job, n in zip(jobs, numbers, strict=True)]


def poll(executor, mind, active):
    async def gather():
        return [info.external_jobid async for info in patience.check(executor, mind, active)]

    return asyncio.run(gather())


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def spoken():
    return []


@pytest.fixture
def mind(spoken, clock):
    return patience.Patience(spoken.append, clock)


def test_what_squeue_says_is_reported(slurm, mind):
    slurm(squeue="printf '1|COMPLETED\\n2|RUNNING\\n3|TIMEOUT\\n4|PENDING\\n5|COMPLETING\\n'")
    executor = Executor()
    assert poll(executor, mind, submitted("1", "2", "3", "4", "5")) == ["2", "4", "5"]
    assert executor.done == ["1"]
    assert "SLURM status is: 'TIMEOUT'" in executor.failed["3"]
    assert executor.next_seconds_between_status_checks == 20


def test_what_sacct_says_is_reported(slurm, mind):
    slurm(squeue=DOWN, sacct="printf '1|COMPLETED\\n2|RUNNING\\n3|CANCELLED by 1000\\n4|PENDING\\n'")
    executor = Executor("sacct")
    assert poll(executor, mind, submitted("1", "2", "3", "4")) == ["2", "4"]
    assert executor.done == ["1"]
    assert "SLURM status is: 'CANCELLED'" in executor.failed["3"]


@pytest.mark.parametrize(("state", "verdict"), [("RUNNING", "runs"), ("COMPLETED", "done"), ("NODE_FAIL", "failed")])
@pytest.mark.parametrize("asked", ["squeue", "sacct"])
def test_a_job_that_a_list_lacks_is_asked_about_alone(slurm, mind, clock, asked, state, verdict):
    """Accounts are late, and a user's view of the queue may be narrow."""
    slurm(sacct="true", squeue="true", scontrol=f"echo 'JobId=1 JobState={state} Reason=None'")
    executor = Executor(asked, started=["job1"])
    poll(executor, mind, submitted("1"))
    clock.now += patience.SETTLED_AFTER
    runs = poll(executor, mind, submitted("1"))
    assert (runs, executor.done, list(executor.failed)) == tuple(
        ["1"] * (verdict == v) for v in ("runs", "done", "failed")
    )


def test_a_job_is_not_given_up_while_the_controller_is_silent(slurm, mind, clock):
    slurm(squeue="true", scontrol=DOWN)
    executor = Executor(started=["job1"])
    for _ in range(3):
        assert poll(executor, mind, submitted("1")) == ["1"]
        clock.now += patience.SETTLED_AFTER


def test_a_job_in_doubt_holds_up_no_other(slurm, mind, clock):
    slurm(sacct="true", scontrol=DOWN)
    executor, active = Executor("sacct"), submitted("1", "2")
    poll(executor, mind, active)
    clock.now += patience.SETTLED_AFTER
    slurm(sacct="echo '2|COMPLETED'", scontrol=DOWN)
    assert poll(executor, mind, active) == ["1"]
    assert executor.done == ["2"]


def test_polls_become_rarer_while_nothing_ends(slurm, mind):
    slurm(squeue="echo '1|RUNNING'")
    executor = Executor()
    pauses = []
    for _ in range(20):
        poll(executor, mind, submitted("1"))
        pauses.append(executor.next_seconds_between_status_checks)
    assert pauses[:3] == [30, 40, 50]
    assert pauses[-1] == 180


def test_a_controller_that_is_away_loses_no_job(slurm, mind, clock, spoken):
    executor, active = Executor(), submitted("1", "2")
    slurm(squeue=DOWN, sacct=DOWN)
    for _ in range(40):
        assert poll(executor, mind, active) == ["1", "2"]
        clock.now += patience.RETRY
    assert len(spoken) == 2, "once at the start, and once after ten minutes"
    assert "Unable to contact slurm controller" in spoken[0]
    slurm(squeue="printf '1|COMPLETED\\n2|RUNNING\\n'")
    assert poll(executor, mind, active) == ["2"]
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
def test_a_job_that_slurm_has_forgotten_is_judged_by_its_outputs(slurm, mind, clock, marks, outputs, done, failed):
    slurm(scontrol="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    executor, active = Executor(**marks), submitted("1", outputs=outputs)
    assert poll(executor, mind, active) == ["1"], "a first look proves nothing"
    assert executor.next_seconds_between_status_checks == patience.RETRY
    clock.now += patience.SETTLED_AFTER
    assert poll(executor, mind, active) == []
    assert (executor.done, list(executor.failed)) == (done, failed)


def test_a_job_that_is_requeued_goes_on(slurm, mind, clock):
    executor, active = Executor(), submitted("1")
    for state in ("NODE_FAIL", "PREEMPTED", "PENDING", "RUNNING", "PREEMPTED", "PENDING"):
        slurm(squeue=f"echo '1|{state}'")
        assert poll(executor, mind, active) == ["1"], state
        clock.now += patience.SETTLED_AFTER - 1
    slurm(squeue="echo '1|NODE_FAIL'")
    assert poll(executor, mind, active) == ["1"]
    clock.now += patience.SETTLED_AFTER
    assert poll(executor, mind, active) == []
    assert "NODE_FAIL" in executor.failed["1"]


def test_doubts_start_anew_after_an_outage(slurm, mind, clock):
    executor, active = Executor(started=["job1"]), submitted("1")
    poll(executor, mind, active)
    slurm(squeue=DOWN)
    poll(executor, mind, active)
    clock.now += 10 * patience.SETTLED_AFTER
    slurm()
    assert poll(executor, mind, active) == ["1"]


@pytest.fixture
def plugin(monkeypatch, spoken, tmp_path):
    """The plugin's executor in a run, made patient."""
    monkeypatch.chdir(tmp_path)
    workflow = SimpleNamespace(scheduler=SimpleNamespace(_executor=Executor()))
    patience.install(workflow, spoken.append, print)
    return workflow.scheduler._executor


def test_a_fault_in_a_submission_is_reported_not_swallowed(slurm, plugin, tmp_path):
    executor = plugin
    executor.run_job("fine")
    executor.run_job("broken")
    assert executor.submitted == ["fine"]
    assert (tmp_path / queue.NOTES / "0c52").exists()
    assert "SLURM job submission failed. the given account" in executor.failed[None]


def test_more_than_two_jobs_are_submitted_at_once(slurm, plugin, monkeypatch):
    together = threading.Barrier(patience.SUBMITTERS, timeout=10)
    monkeypatch.setattr(patience, "wait_for_controller", lambda mind: together.wait())
    executor = plugin
    jobs = [f"job{number}" for number in range(2 * patience.SUBMITTERS)]
    executor.run_jobs(jobs[: patience.SUBMITTERS])
    executor.run_jobs(jobs[patience.SUBMITTERS :])
    executor._job_submission_executor.shutdown()
    assert sorted(executor.submitted) == sorted(jobs)
    assert executor._fallback_account_arg == "", "no account is guessed"


def test_a_submission_waits_for_the_controller(slurm, plugin, spoken, monkeypatch, tmp_path):
    monkeypatch.setattr(patience, "RETRY", 0.01)
    slurm(scontrol=f'echo asked >> {tmp_path}/asked; [ "$(/usr/bin/wc -l < {tmp_path}/asked)" -gt 3 ]')
    plugin.run_job("later")
    assert (tmp_path / "asked").read_text().count("asked") == 4
    assert plugin.submitted == ["later"]
    assert [line.split(" (")[0] for line in spoken] == [
        "Slurm's controller does not answer",
        "Slurm's controller answers again after 0 s",
    ]


def test_a_cancelled_run_does_not_say_that_the_controller_is_back(slurm, mind, spoken):
    slurm(scontrol="exit 1")
    mind.away(patience.CONTROLLER, "it is down")
    mind.stopped.set()
    patience.wait_for_controller(mind)
    assert len(spoken) == 1


def test_accounts_that_answer_do_not_say_that_the_controller_is_back(slurm, mind, spoken):
    slurm(sacct="echo '1|RUNNING'")
    for _ in range(3):
        mind.away(patience.CONTROLLER, "it is down")
        poll(Executor("sacct"), mind, submitted("1"))
    assert len(spoken) == 1


def test_a_run_that_is_cancelled_submits_no_more_and_leaves_nothing_in_the_queue(slurm, plugin, tmp_path, monkeypatch):
    slurm(scancel=f'echo "$@" > {tmp_path}/cancelled')
    executor, held = plugin, threading.Event()
    monkeypatch.setattr(patience, "wait_for_controller", lambda mind: held.wait(10))
    executor.run_jobs([f"job{number}" for number in range(3 * patience.SUBMITTERS)])
    threading.Timer(0.2, held.set).start()
    executor.cancel_jobs(["a"])
    assert executor.submitted == []
    assert f"--name={executor.run_uuid}" in (tmp_path / "cancelled").read_text()


def test_a_run_whose_jobs_cannot_be_cancelled_says_so(slurm, plugin, spoken):
    slurm(scancel="echo 'scancel: error: Unable to contact slurm controller' >&2; exit 1")
    plugin.cancel_jobs([])
    assert "Unable to contact slurm controller: jobs of this run may be left in the queue" in spoken[-1]


def test_the_plugin_is_as_we_take_it_to_be():
    import snakemake_executor_plugin_slurm as real
    from snakemake.scheduling.job_scheduler import JobScheduler

    assert real.Executor.__module__ == start.PLUGIN
    assert inspect.isasyncgenfunction(real.Executor.check_active_jobs)
    for name in (
        "run_jobs",
        "run_job",
        "cancel_jobs",
        "report_job_success",
        "report_job_error",
        "next_seconds_between_status_checks",
    ):
        assert hasattr(real.Executor, name)
    assert list(inspect.signature(real.Executor.run_job).parameters) == ["self", "job"]
    assert "self._job_submission_executor.submit(self.run_job, job)" in inspect.getsource(real.Executor.run_jobs)
    assert "if self._fallback_account_arg is None:" in inspect.getsource(real.Executor.get_account_arg)
    assert "self.run_uuid = " in inspect.getsource(real.Executor.__post_init__)
    scheduler = inspect.getsource(JobScheduler)
    assert "self._executor = executor_plugin.executor(" in scheduler
    assert "if self.job_rate_limiter is not None" in scheduler
    assert {"status_command", "init_seconds_before_status_checks"} <= set(real.ExecutorSettings.__dataclass_fields__)
