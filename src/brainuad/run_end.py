"""The end of a run of Snakemake: which scans were left out and, where jobs failed, the results of what finished.

Called by the main process alone (`onsuccess` and `onerror` of the Snakefile), so what is heavy is imported late. Why
results are made outside of a job: docs/decisions/0032-results-of-what-finished.md.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

from brainuad import planned_jobs
from brainuad.cluster import failed_jobs
from brainuad.cluster.failed_jobs import FailedJob, FailureRecorder
from brainuad.errors import BrainuadError
from brainuad.formats import missing
from brainuad.formats.missing import Missing
from brainuad.jobs.base import Job
from brainuad.jobs.registry import STAGE_OF
from brainuad.logs import job_log
from brainuad.plan import Plan

OLD = 946_684_800.0
"""Modification time of what is incomplete, s since 1970: older than every input, so that Snakemake makes it again."""
WAIT_S = 5.0
"""For the logger's thread to take in the last failures."""
NOT_STARTED = "not started: the run had stopped before; type the same command again"
logger = getLogger(__name__)


def after_success(plan: Plan) -> None:
    """Show which scans were left out. No job failed, whatever the table of an earlier run says."""
    guarded(plan, "remove the table of failed jobs", lambda: _remove_failed(plan))
    guarded(plan, "list the scans that were left out", lambda: _show_left_out(plan))
    guarded(plan, "check where anomaly maps lie", lambda: _show_map_geometry(plan))


def after_failure(plan: Plan, workflow: Any) -> None:
    """Make tables, report and MLflow of what finished; show what is missing and why, and which scans were left out.

    `workflow`: Snakemake's, of the run that just ended. Makes nothing where the user stopped the run, and where no job
    failed. Raises nothing: a fault here is one sentence after the errors of the run.
    """
    scheduler = workflow.scheduler
    if scheduler.running or scheduler._user_kill:
        show(f"The run was stopped. `brainuad report {plan.folder}` makes the report of what finished.")
        return
    if not scheduler.failed:
        return
    guarded(plan, "make the results of what finished", lambda: _after_failure(plan, _Run(workflow)))
    guarded(plan, "list the scans that were left out", lambda: _show_left_out(plan))
    guarded(plan, "check where anomaly maps lie", lambda: _show_map_geometry(plan))


def _after_failure(plan: Plan, run: _Run) -> None:
    failed_jobs.write_table(plan.folder, run.failures())
    rules = [rule for rule in ("summarise", "report", "track") if run.can_make(rule)]
    if rules:  # else they are complete, nobody asked for them, or they failed themselves
        make_partial(plan, run.missing(), rules)


def make_partial(plan: Plan, rows: list[Missing], rules: Sequence[str]) -> None:
    """Run these rules (of summarise, report, track) on all evaluations but those in `rows`, and show what is missing.

    Where no evaluation is there, nothing is made, and what an earlier run made stays.
    """
    folder = plan.folder / "evaluate"
    lacking = {row.run for row in rows}
    there = [each for each in plan.runs() if (each[0], str(each[1]), each[2]) not in lacking]
    if rows:
        show(f"\n{len(rows)} of {len(rows) + len(there)} evaluations are missing (model, seed, data set)")
        show(*(f"  {line}" for line in missing.lines(rows)))
    if not there:
        missing.write(folder, rows)
        earlier = " What is there is of an earlier run." if (folder / "metrics.tsv").exists() else ""
        show(f"Nothing was evaluated: there are no tables and no report of this run.{earlier}")
        return
    done = {}
    for rule in rules:
        job = _partial_job(plan, rule, rows, there)
        _outdate(job)  # first: a kill between two files then leaves an old one
        try:
            done[rule] = run_here(job, plan)
        finally:
            _outdate(job)
        if not done.get("summarise", True):
            return  # report and runs rest on the tables
    if done.get("summarise"):
        show(f"Tables of what finished: {folder}/*.tsv")
    if done.get("report"):
        show(f"Report of what finished: {plan.folder / 'report' / 'index.html'}")


def _partial_job(plan: Plan, rule: str, rows: list[Missing], there: list[tuple[str, int, str]]) -> Job:
    """The job of a rule, restricted to the evaluations that are there."""
    job = plan.job(rule)
    if rule == "summarise":
        inputs = job.inputs.model_copy(update={"folders": [plan.evaluation(*run) for run in there]})
        return job.model_copy(update={"inputs": inputs, "missing": rows})
    if rule == "track":
        trained = {run[:2] for run in there}
        runs = [(model, seed, label) for model, label in plan.study.trainings().items() for seed in plan.study.seeds]
        return job.model_copy(update={"runs": [run for run in runs if run[:2] in trained], "missing": rows})
    return job


def _outdate(job: Job) -> None:
    """Have Snakemake make the outputs of a job again."""
    for path in job.outputs.all():
        if path.exists():
            os.utime(path, (OLD, OLD))


def run_here(job: Job, plan: Plan) -> bool:
    """Run a job in this process; False, with a sentence, if it fails."""
    log = _log(plan)
    try:
        with job_log(log):
            _run_or_explain(job, log)
    except SystemExit:
        return False
    return True


def _run_or_explain(job: Job, log: Path) -> None:
    try:
        job.run()
    except BrainuadError:
        raise
    except Exception as error:
        logger.info("%s of what finished", job.rule, exc_info=True)  # in the log alone
        why = f"{type(error).__name__}: {error}"
        raise BrainuadError(f"{job.rule} of what finished failed", why=why, do=f"read {log}") from None


class _Run:
    """What became of the jobs of a run."""

    def __init__(self, workflow: Any) -> None:
        self._dag, self._workflow, self._wait_until = workflow.dag, workflow, time.monotonic() + WAIT_S
        failed = [each for job in workflow.scheduler.failed for each in (job if job.is_group() else [job])]
        self._failed = {job: self._recorded(job) for job in failed if not self._dag.finished(job)}

    def failures(self) -> list[FailedJob]:
        """The jobs that failed for good, sorted by rule and wildcards."""
        return sorted(self._failed.values(), key=lambda job: (job.rule, job.wildcards))

    def can_make(self, rule: str) -> bool:
        """Whether a rule's job was asked for and never ran; one that failed would fail again."""
        return any(job not in self._failed for job in self._unfinished(rule))

    def missing(self) -> list[Missing]:
        """The evaluations that were asked for and are not there, in the order of their labels."""
        rows = [self._missing(job) for job in self._unfinished("evaluate")]
        return sorted(rows, key=lambda row: (row.model, int(row.seed), row.dataset))

    def _unfinished(self, rule: str) -> Iterator[Any]:
        return (job for job in self._dag.jobs if job.rule.name == rule and not self._current(job))

    def _current(self, job: Any) -> bool:
        return not self._dag.needrun(job) or self._dag.finished(job)

    def _missing(self, evaluation: Any) -> Missing:
        order = list(STAGE_OF)
        before = sorted(self._unfinished_before(evaluation), key=lambda job: order.index(job.rule.name))
        named = evaluation.wildcards
        about = named.model, named.seed, named.dataset, STAGE_OF[before[0].rule.name]
        failed = next((self._failed[job] for job in before if job in self._failed), None)
        if failed is None:
            return Missing(*about, job="", why=NOT_STARTED, log="")
        return Missing(*about, f"{failed.rule} {failed.wildcards}".strip(), failed.reason, failed.log)

    def _unfinished_before(self, job: Any) -> Iterator[Any]:
        """A job and all that it waits for, each once."""
        seen, waiting = {job}, [job]
        while waiting:
            each = waiting.pop()
            yield each
            new = [each for each in self._dag.dependencies[each] if each not in seen and not self._current(each)]
            seen.update(new)
            waiting += new

    def _recorded(self, job: Any) -> FailedJob:
        """What brainuad's logger has recorded of a failure, with what Slurm said; else what the log of the job says."""
        recorders = [
            handler.failures
            for handler in self._workflow.logger_manager.get_log_handlers()
            if isinstance(getattr(handler, "failures", None), FailureRecorder)
        ]
        while recorders:
            for recorder in recorders:
                if job.jobid in recorder.failures:
                    return recorder.failures[job.jobid]
            if time.monotonic() > self._wait_until:
                break
            time.sleep(0.05)  # the handlers run in a thread of their own
        recorder = FailureRecorder()
        wildcards: Mapping[str, str] = dict(job.wildcards_dict)
        recorder.record_start(job.jobid, job.rule.name, wildcards, {})
        recorder.record_failure(job.jobid, job.rule.name, [str(path) for path in job.log])
        return recorder.failures[job.jobid]


def _remove_failed(plan: Plan) -> None:
    failed_jobs.write_table(plan.folder, [])


def _show_left_out(plan: Plan) -> None:
    from brainuad.report.left_out import read_left_out

    report = planned_jobs.report(plan)
    found = read_left_out(plan.study, plan.folder, report.preprocessed, report.decisions)
    listed = plan.folder / "failures.tsv"
    show(*found.lines(listed if listed.exists() else plan.folder / "preprocess" / "<data set>" / "quality.tsv"))


def _show_map_geometry(plan: Plan) -> None:
    from brainuad.formats import tables
    from brainuad.report.map_geometry import map_geometry
    from brainuad.report.study_results import without_missing

    evaluated = plan.folder / "evaluate"
    if (evaluated / "scans.tsv").exists():
        scans = tables.read(evaluated / "scans.tsv", tables.SCANS)
        show(*map_geometry(without_missing(scans, missing.read(evaluated))).lines())


def guarded(plan: Plan, what: str, work: Callable[[], None]) -> None:
    """Run the work; a fault is shown in one sentence."""
    try:
        work()
    except KeyboardInterrupt:
        show("stopped")
    except BrainuadError as error:
        show(str(error))
    except Exception as error:
        log = _log(plan)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
        show(f"error: cannot {what}", f"  why   {type(error).__name__}: {error}", f"  do    read {log}")


def _log(plan: Plan) -> Path:
    return plan.folder / "logs" / "run_end.log"


def show(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()
