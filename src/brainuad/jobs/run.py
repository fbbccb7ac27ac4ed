"""Run a job: from Snakemake, or alone in the foreground."""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from brainuad.cluster.stop_monitor import TrainingStopped
from brainuad.errors import InputError
from brainuad.formats.leftovers import remove_leftovers
from brainuad.jobs.base import Job
from brainuad.jobs.registry import job_class
from brainuad.logs import job_log
from brainuad.resources.live import shown_live
from brainuad.resources.usage import record_usage

logger = logging.getLogger("brainuad.job")
OF_ALL_STUDIES = ("fetch", "list_scans", "preprocess", "preprocess_batch")
"""Rules whose outputs a job of another study may be writing at the same time."""


def from_snakemake(snakemake: Any) -> Job:
    """The job that Snakemake runs. `snakemake`: the object that Snakemake gives to scripts."""
    cls = job_class(snakemake.rule)
    params = snakemake.params
    settings = json.loads(params.settings) | json.loads(params.untracked)
    content = {**settings, "code": params.code, "outputs": _named(snakemake.output)}
    inputs = _named(snakemake.input)
    by_name = "files" in cls.model_fields["inputs"].annotation.model_fields  # type: ignore[union-attr]
    return cls.model_validate({**content, "inputs": {"files": inputs} if by_name else inputs})


def run_from_snakemake(snakemake: Any) -> None:
    """Run Snakemake's job, with its log and with a record of what it used."""
    remove_leftovers(Path(snakemake.log[0]))
    with record_usage(snakemake, resumes=job_class(snakemake.rule).resumes), job_log(snakemake.log[0]):
        _run(from_snakemake(snakemake), snakemake.rule)


def run_alone(job: Job, log: Path) -> None:
    """Run a job in this process, as Snakemake would. Raises InputError for an input that is not there."""
    for path in job.inputs.all():
        if not path.exists():
            do = f"make it first: snakemake --profile profiles/local {path}"
            raise InputError(f"an input of {job.rule} is not there", file=path, do=do)
    for path in job.outputs.all():
        path.parent.mkdir(parents=True, exist_ok=True)
    with job_log(log):
        _run(job, job.rule)


def _run(job: Job, rule: str) -> None:
    name = " ".join([rule, *(f"{key}={value}" for key, value in job.tags.items() if key != "study")])
    logger.info("%s starts", name)
    for path in job.outputs.all():
        remove_leftovers(path, of_this_job=rule not in OF_ALL_STUDIES)
    with _shown(job):
        job.run()
    logger.info("%s is done", name)


def _shown(job: Job) -> AbstractContextManager[None]:
    """Let others see that a long job runs: a training."""
    settings = json.loads(job.tracked_json())
    if not (job.resumes and {"model", "seed"} <= settings.keys()):  # preprocessing resumes too
        return nullcontext()
    about = {"stage": job.rule, "tags": job.tags, "settings": settings["model"], "seed": settings["seed"]}
    return shown_live(job.outputs.all()[0].parent, about, (TrainingStopped, KeyboardInterrupt, SystemExit))


def _named(files: Any) -> dict[str, str | list[str]]:
    return {
        name: str(value) if isinstance(value, str) else [str(each) for each in value] for name, value in files.items()
    }
