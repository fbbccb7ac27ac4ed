"""Which class each rule runs."""

from __future__ import annotations

import importlib

from brainuad.jobs.base import Job

STAGE_OF = {
    "fetch": "download",
    "list_scans": "download",
    "preprocess": "preprocess",
    "preprocess_batch": "preprocess",
    "quality": "preprocess",
    "contact_sheets": "preprocess",
    "split": "normalize",
    "subjects": "normalize",
    "scaling": "normalize",
    "normalize": "normalize",
    "train": "train",
    "infer": "infer",
    "postprocess": "postprocess",
    "native": "postprocess",
    "ceilings": "postprocess",
    "evaluate": "evaluate",
    "summarise": "evaluate",
    "track": "track",
    "report": "report",
}
"""The stage of each rule, in the order of the workflow."""


def job_module(rule: str) -> str:
    """The module of a rule's job. The batched rule runs the job of the plain one."""
    name = rule.removesuffix("_batch")
    return f"brainuad.{STAGE_OF[rule]}.{name}_job"


def job_class(rule: str) -> type[Job]:
    """The class of a rule's job: the name `JOB` of its module."""
    found: type[Job] = importlib.import_module(job_module(rule)).JOB
    return found
