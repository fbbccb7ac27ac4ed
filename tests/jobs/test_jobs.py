"""Jobs: what the plan builds is what Snakemake runs, and any of them can be run alone."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from brainuad.config.load import load_study
from brainuad.errors import InputError
from brainuad.formats import scans
from brainuad.formats.scans import Scan
from brainuad.jobs.base import Job
from brainuad.jobs.registry import STAGE_OF
from brainuad.jobs.run import from_snakemake, run_alone
from brainuad.logs import job_log
from brainuad.normalize.subjects_job import SubjectsInputs, SubjectsJob, SubjectsOutputs
from brainuad.plan import Plan

REPOSITORY = Path(__file__).parents[2]


class Named:
    """Files as Snakemake gives them to a script."""

    def __init__(self, **files: Any):
        self._files = files

    def items(self) -> Iterator[tuple[str, Any]]:
        yield from self._files.items()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load_study(REPOSITORY / "config.yaml"))


def wildcards(plan: Plan, rule: str) -> dict[str, str]:
    run = {"model": "baur_dae_small", "seed": "0"}
    of_set = {"dataset": "patients"}
    if rule == "preprocess_batch":
        return of_set | {"batch": next(iter(plan.batches("patients")))}
    return {
        "preprocess": of_set | {"scan": "sub-001"},
        "train": run,
        "infer": run | of_set,
        "postprocess": run | of_set | {"postprocessing": "none"},
        "native": run | of_set | {"postprocessing": "none"},
        "evaluate": run | of_set,
    }.get(rule, {} if rule in ("subjects", "scaling", "summarise", "track", "report") else of_set)


@pytest.mark.parametrize("rule", [rule for rule in STAGE_OF if rule != "fetch"])
def test_snakemake_runs_the_job_that_the_plan_built(plan, rule):
    job = plan.job(rule, **wildcards(plan, rule))
    params = SimpleNamespace(settings=job.tracked_json(), untracked=job.untracked_json(threads=3), code=job.code)
    inputs, outputs = Named(**job.inputs.named()), Named(**job.outputs.named())
    given = from_snakemake(SimpleNamespace(rule=rule, params=params, input=inputs, output=outputs))
    threads = {"threads": 3} if "threads" in type(job).untracked else {}
    assert given == job.model_copy(update=threads)


def test_a_jobs_settings_hold_no_path_and_no_machine(plan):
    for rule in STAGE_OF:
        if rule != "fetch":
            job = plan.job(rule, **wildcards(plan, rule))
            assert str(plan.root) + "/" not in job.tracked_json()
            assert "accelerator" not in job.tracked_json()


def subjects(tmp_path: Path) -> SubjectsJob:
    scans.write(tmp_path / "a.tsv", [Scan("sub-1", "sub-1", "a")])
    scans.write(tmp_path / "b.tsv", [Scan("sub-1", "sub-1", "b")])
    inputs = SubjectsInputs(tables=[tmp_path / "a.tsv", tmp_path / "b.tsv"])
    return SubjectsJob(inputs=inputs, outputs=SubjectsOutputs(table=tmp_path / "out" / "subjects.tsv"))


def test_a_job_runs_alone_and_leaves_a_log(tmp_path):
    job = subjects(tmp_path)
    run_alone(job, tmp_path / "logs" / "job.log")
    assert [row.dataset for row in scans.read(job.outputs.table)] == ["a", "b"]
    lines = (tmp_path / "logs" / "job.log").read_text().splitlines()
    assert "subjects starts" in lines[0]
    assert "subjects is done" in lines[-1]
    assert "INFO" in lines[0]


def test_a_job_first_removes_what_a_killed_one_left_of_its_output(tmp_path):
    job = subjects(tmp_path)
    names = [f".part-{name}-0123abcd-77t5-abcdefgh.tsv" for name in ("subjects.tsv", "other.tsv")]
    job.outputs.table.parent.mkdir()
    for name in names:
        (job.outputs.table.parent / name).touch()
    run_alone(job, tmp_path / "logs" / "job.log")
    left = sorted(path.name for path in job.outputs.table.parent.iterdir())
    assert left == [names[1], "subjects.tsv"], "another machine may be writing the other one"


def test_a_job_without_its_inputs_says_how_to_make_them(tmp_path):
    job = subjects(tmp_path)
    (tmp_path / "b.tsv").unlink()
    with pytest.raises(InputError, match="an input of subjects is not there") as raised:
        run_alone(job, tmp_path / "job.log")
    assert "snakemake" in str(raised.value)


class Fails(SubjectsJob):
    what: str = "known"

    def run(self) -> None:
        logging.getLogger("brainuad.test").warning("a note")
        warnings.warn("of a library", stacklevel=1)
        if self.what == "known":
            raise InputError("the file is broken", file="a.nii", do="copy it again")
        raise ValueError("unforeseen")


@pytest.mark.parametrize(("what", "words"), [("known", "do    copy it again"), ("unknown", "ValueError: unforeseen")])
def test_what_ends_a_job_stands_in_its_log_and_on_the_terminal(tmp_path, capfd, what, words):
    whole = subjects(tmp_path)
    job: Job = Fails(inputs=whole.inputs, outputs=whole.outputs, what=what)
    with pytest.raises(SystemExit):
        run_alone(job, tmp_path / "job.log")
    log, terminal = (tmp_path / "job.log").read_text(), capfd.readouterr().err
    for text in (log, terminal):
        assert words in text
        assert "a note" in text
        assert "of a library" in text
    assert ("Traceback" in log) == (what == "unknown")


def test_the_terminal_shows_what_the_level_says(tmp_path, capfd, monkeypatch):
    for level, shown in (("INFO", True), ("ERROR", False)):
        monkeypatch.setenv("BRAINUAD_LOG", level)
        with job_log(tmp_path / "job.log"):
            logging.getLogger("brainuad.test").info("%s told", level)
        assert (f"{level} told" in capfd.readouterr().err) == shown
        assert f"{level} told" in (tmp_path / "job.log").read_text()


@pytest.mark.parametrize("rule", [rule for rule in STAGE_OF if rule not in ("fetch", "train")])
def test_every_job_starts(plan, tmp_path, monkeypatch, rule):
    """Whatever is done around a job, such as showing trainings while they run, fits jobs of each rule."""
    job = plan.job(rule, **wildcards(plan, rule))
    started: list[Job] = []
    monkeypatch.setattr(type(job), "run", lambda job: started.append(job))
    for part in (job.inputs, job.outputs):
        monkeypatch.setattr(type(part), "all", lambda _: [])
    run_alone(job, tmp_path / "job.log")
    assert started == [job]
