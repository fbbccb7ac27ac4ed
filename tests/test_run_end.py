"""What the main process does at the end of a run with failures, on jobs as Snakemake describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from brainuad.cluster.failed_jobs import FailureRecorder
from brainuad.config.load import build_study
from brainuad.errors import InputError
from brainuad.evaluate.evaluation import FILES
from brainuad.formats import checksums, missing, scans, tables
from brainuad.plan import Plan
from brainuad.run_end import after_failure
from brainuad.so_far import report_so_far

DEMO = Path(__file__).parents[1] / "config.yaml"
MODELS = ("thresh_histeq", "zscore_atlas")
SETS = ("healthy", "patients")


@dataclass(eq=False)
class Job:
    """As much of a job of Snakemake as is looked at."""

    name: str
    wildcards_dict: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    needs: list[Job] = field(default_factory=list)
    jobid: int = 0

    @property
    def rule(self) -> SimpleNamespace:
        return SimpleNamespace(name=self.name)

    @property
    def wildcards(self) -> SimpleNamespace:
        return SimpleNamespace(**self.wildcards_dict)

    def is_group(self) -> bool:
        return False


class Run:
    """A run in which some jobs did what they had to, and some failed."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.finished, self.handlers = plan, set[Job](), list[Any]()
        self.train = {model: Job("train", {"model": model, "seed": "0"}) for model in MODELS}
        self.evaluate = {run: self._evaluate(*run) for run in ((model, name) for model in MODELS for name in SETS)}
        self.summarise = Job("summarise", needs=list(self.evaluate.values()))
        self.report = Job("report", needs=[self.summarise])

    def _evaluate(self, model: str, dataset: str) -> Job:
        wildcards = {"model": model, "seed": "0", "dataset": dataset}
        return Job("evaluate", wildcards, needs=[Job("infer", wildcards, needs=[self.train[model]])])

    def finish(self, model: str, *datasets: str) -> None:
        """A model is trained, and evaluated on some data sets."""
        self.finished.add(self.train[model])
        for dataset in datasets:
            job, folder = self.evaluate[model, dataset], self.plan.evaluation(model, 0, dataset)
            self.finished |= {job, *job.needs}
            for name, columns in FILES.items():
                row = dict.fromkeys(columns, 1) | {
                    "model": model,
                    "seed": 0,
                    "dataset": dataset,
                    "metric": "auprc_scan",
                }
                row |= {"postprocessing": "none", "threshold_rule": "none", "auprc": 0.5, "subject": "a", "scan": "b"}
                tables.write(folder / name, pd.DataFrame([row]), columns)
            about = {"model": model, "seed": "0", "dataset": dataset}
            checksums.write(folder, checksums.of_files(folder, FILES), about)

    def end(self, *failed: Job, running: tuple[Job, ...] = (), killed: str | None = None) -> None:
        jobs = list(self._all(self.report))
        dag = SimpleNamespace(
            jobs=jobs,
            dependencies={job: {each: set() for each in job.needs} for job in jobs},
            needrun=lambda job: True,
            finished=self.finished.__contains__,
        )
        scheduler = SimpleNamespace(failed=set(failed), running=set(running), _user_kill=killed)
        loggers = SimpleNamespace(get_log_handlers=lambda: self.handlers)
        after_failure(self.plan, SimpleNamespace(dag=dag, scheduler=scheduler, logger_manager=loggers))

    def _all(self, job: Job) -> Iterator[Job]:
        seen = [job]
        for each in seen:
            seen += [other for other in each.needs if other not in seen]
        return iter(seen)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    study: dict[str, Any] = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    study |= {"models": dict.fromkeys(MODELS), "postprocessing": {"none": "none"}, "results": str(tmp_path / "results")}
    plan = Plan(build_study(study, DEMO))
    scans.write(plan.subjects_table(), [])
    return Run(plan)


def diverged(job: Job, folder: Path) -> Job:
    log = folder / "train.log"
    log.write_text("error: the loss became inf\n  do    lower the learning rate\n", encoding="utf-8")
    job.log = [str(log)]
    return job


def rows(plan: Plan) -> list[tuple[str, str]]:
    found = tables.read(plan.folder / "evaluate/metrics.tsv", tables.METRICS)
    return list(zip(found["model"], found["dataset"], strict=True))


def test_there_are_no_tables_of_a_study_with_a_scan_in_two_roles(run, capsys):
    run.finish("zscore_atlas", "healthy")
    run.plan.subjects_table().unlink()  # its job failed
    run.end(run.evaluate["thresh_histeq", "healthy"])
    assert "two roles" in "".join(capsys.readouterr())
    assert not run.plan.tables()[0].exists()


def test_tables_and_report_hold_what_finished(run, tmp_path, capsys):
    run.finish("thresh_histeq", *SETS)
    stale = run.plan.evaluation("zscore_atlas", 0, "patients")
    stale.mkdir(parents=True)
    (stale / "metrics.tsv").write_text("of an earlier version, with other columns")
    run.end(diverged(run.train["zscore_atlas"], tmp_path))
    said = capsys.readouterr().err
    assert rows(run.plan) == [("thresh_histeq", "healthy"), ("thresh_histeq", "patients")]
    assert "2 of 4 evaluations are missing" in said
    assert "zscore_atlas seed 0 on healthy, patients: the loss became inf: lower the learning rate" in said
    assert {row.stage for row in missing.read(run.plan.folder / "evaluate")} == {"train"}
    assert "zscore_atlas seed 0 on healthy, patients" in (run.plan.folder / "report/index.html").read_text()
    inputs = list(run.plan.folder.glob("evaluate/*/*/*"))
    made = [*run.plan.tables(), run.plan.folder / "report/index.html", run.plan.folder / "costs.tsv"]
    assert max(path.stat().st_mtime for path in made) < min(path.stat().st_mtime for path in inputs)


def test_what_was_not_started_is_said_to_be_so(run, capsys):
    run.finish("thresh_histeq", "healthy")
    run.finish("zscore_atlas")
    run.end(run.evaluate["thresh_histeq", "patients"])
    said = capsys.readouterr().err
    assert rows(run.plan) == [("thresh_histeq", "healthy")]
    assert "zscore_atlas seed 0 on healthy, patients: not started" in said
    assert "read its log" in said


def test_what_slurm_said_is_told_where_the_logger_heard_it(run, capsys):
    run.finish("thresh_histeq", *SETS)
    failed, recorder = run.train["zscore_atlas"], FailureRecorder()
    recorder.record_failure(failed.jobid, "train", [], message="SLURM status is: 'OUT_OF_MEMORY'")
    run.handlers = [SimpleNamespace(failures=recorder)]
    run.end(failed)
    assert "it needed more memory than it requested" in capsys.readouterr().err


def test_nothing_evaluated_makes_no_table(run, tmp_path, capsys):
    earlier = run.plan.folder / "evaluate/metrics.tsv"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("as it was")
    run.end(*(diverged(job, tmp_path) for job in run.train.values()))
    said = capsys.readouterr().err
    assert "Nothing was evaluated" in said
    assert "scans" not in said, "none has a role yet"
    assert "of an earlier run" in said
    assert earlier.read_text() == "as it was"
    assert not (run.plan.folder / "report").exists()
    assert len(missing.read(earlier.parent)) == 4


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "tables failed", "no job failed"])
def test_nothing_is_made_where_it_should_not(run, how, capsys):
    run.finish("thresh_histeq", *SETS)
    failed = run.train["zscore_atlas"]
    if how == "tables failed":
        run.finish("zscore_atlas", *SETS)
        run.report.needs = []  # the target was the tables alone
        run.report.name, run.report.needs = "all", [run.summarise]
        run.end(run.summarise)
    else:
        stopped: Callable[..., None] = run.end
        stopped(
            *([] if how == "no job failed" else [failed]),
            running=(run.train["zscore_atlas"],) if how == "ctrl-c" else (),
            killed="graceful" if how == "SIGTERM" else None,
        )
    assert not (run.plan.folder / "evaluate/metrics.tsv").exists()
    assert "error" not in capsys.readouterr().err


def test_a_report_of_what_is_there_at_any_time(run, monkeypatch):
    run.finish("thresh_histeq", *SETS)
    run.finish("zscore_atlas", *SETS)
    done = [run.plan.evaluation("thresh_histeq", 0, name) for name in SETS]
    lines = [
        "output_file\tdate\trule\tlog-file(s)\tstatus\tplan",
        *(f"{path}\t-\tevaluate\t-\tok\tno update" for path in done),
    ]
    lines += [f"{run.plan.evaluation('zscore_atlas', 0, name)}\t-\tevaluate\t-\tok\tupdate pending" for name in SETS]
    monkeypatch.setattr("brainuad.so_far.snakemake_summary", lambda study: "\n".join(lines))
    report_so_far(run.plan, run.plan.folder, DEMO)
    assert rows(run.plan) == [("thresh_histeq", "healthy"), ("thresh_histeq", "patients")]
    assert "zscore_atlas seed 0 on healthy, patients" in (run.plan.folder / "report/index.html").read_text()
    lines[1:3] = []
    with pytest.raises(InputError, match="nothing of the study"):
        report_so_far(run.plan, run.plan.folder, DEMO)
    with pytest.raises(InputError, match="is not the folder"):
        report_so_far(run.plan, run.plan.folder.parent, DEMO)


def test_a_report_that_fails_is_a_sentence_and_keeps_the_tables(run, tmp_path, capsys):
    run.finish("thresh_histeq", *SETS)
    (run.plan.folder / "report").write_text("in the way")
    run.end(diverged(run.train["zscore_atlas"], tmp_path))
    said = capsys.readouterr().err
    assert len(rows(run.plan)) == 2
    assert "error: " in said
    assert "Traceback" not in said
    assert "Tables of what finished" in said
    assert "Report of what finished" not in said
