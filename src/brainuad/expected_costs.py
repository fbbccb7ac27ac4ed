"""What each job of a study is expected to take, by its rule and the number of its scans or steps: for the time left.

Rough: fitted to finished studies of phantoms and real scans at 2 mm, on one core each. A run corrects them by its own
jobs as they finish (`brainuad.resources.time_left`). No job reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from brainuad.config.model import MethodSettings
from brainuad.config.network import Adversarial, Optimisation
from brainuad.config.section import Section
from brainuad.plan import Plan
from brainuad.resources import live
from brainuad.resources.time_left import Machine, Progress, Task, TimeLeft

KIND = {
    "preprocess": "dataset",
    "preprocess_batch": "dataset",
    "train": "model",
    "infer": "model",
    "postprocess": "postprocessing",
    "evaluate": "dataset",
}
"""The wildcard by which the jobs of a rule differ most in cost."""
UNKNOWN = 10.0
FIXED = {"all": 0.1, "fetch": 60.0, "quality": 1.0, "scaling": 1.5, "split": 0.3, "subjects": 1.0}
"""Seconds of a job."""
PER_SCAN = {
    "ceilings": (4.5, 0.02),
    "native": (1.5, 0.5),
    "normalize": (1.7, 0.02),
    "postprocess": (1.6, 0.008),
}
"""Seconds of a job, and what each scan adds that models map."""
INFER, INFER_NETWORK = (1.7, 0.02), (4.0, 0.06)
START = 1.5
"""Seconds from the start of a job's process to its first work."""
STEP, PIXEL_STEP, ADVERSARIAL = 0.007, 0.8e-6, 2.3
"""Of a step of a training: seconds, what each pixel or voxel of its batch adds, how many times it is with a critic."""
SLICES = 60
"""Training slices of a scan, where a training counts epochs."""
MM_MEASURED = 2.0


def announce_time_left(plan: Plan, workflow: Any, run: list[TimeLeft], warn: Callable[[str], None]) -> None:
    """Add to `run` what the jobs of the run that begins should take. `workflow`: Snakemake's, in `onstart`.

    Raises nothing: a fault is a warning, and the terminal then takes all jobs for alike.
    """
    try:
        run.append(time_left(plan, workflow))
    except Exception as error:
        warn(
            f"The time left will be rough, for it cannot be worked out from the study: {type(error).__name__}: {error}"
        )


def time_left(plan: Plan, workflow: Any) -> TimeLeft:
    """Of the run that begins. `workflow`: Snakemake's, in `onstart`. Times are in s since 1970."""
    dag, resources = workflow.dag, workflow.global_resources
    number = {job: dag.jobid(job) for job in dag.needrun_jobs()}
    tasks, trainings = {}, {}
    for job, each in number.items():
        rule, named = job.rule.name, dict(job.wildcards_dict)
        needs = tuple(number[before] for before in dag.dependencies[job] if before in number)
        gpus = int(job.resources.get("gpu") or 0)
        kind, seconds = named.get(KIND.get(rule, ""), ""), expected_seconds(plan, rule, named)
        tasks[each] = Task(rule, kind, seconds, job.threads, gpus, job.priority, needs)
        if rule == "train":
            parts = len(list(_optimisations(plan.study.models[named["model"]])))
            trainings[each] = plan.train_folder(named["model"], named["seed"]), parts

    def progress(job: int, start: float) -> Progress | None:
        return live.read_progress(*trainings[job], since=start) if job in trainings else None

    elsewhere, gpu = resources["_nodes"].value is not None, resources.get("gpu")
    machine = Machine(None) if elsewhere else Machine(resources["_cores"].value, gpu.value if gpu else None)
    return TimeLeft(tasks, machine, time.time(), progress)


def expected_seconds(plan: Plan, rule: str, named: Mapping[str, str]) -> float:
    """Of a job of the rule with these wildcards."""
    dataset, study = named.get("dataset", ""), plan.study
    match rule:
        case "list_scans":
            each = 1.2 if plan.scan_set(dataset).synthesised else 0.3 if plan.converted(dataset) else 0.0
            return START + each * len(plan.scans[dataset])
        case "preprocess" | "preprocess_batch":
            scans = len(plan.batch(dataset, named["batch"])) if rule == "preprocess_batch" else 1
            return START + 3 * scans * max(1, len(study.sequences()))
        case "contact_sheets":
            return 1 + 0.03 * len(plan.scans[dataset])
        case "train":
            return _training(plan, study.models[named["model"]])
        case "infer":
            fixed, each = INFER_NETWORK if study.models[named["model"]].uses_gpu else INFER
            return fixed + each * _mapped(plan, dataset)
        case "evaluate":
            return 2.9 + 0.019 * _mapped(plan, dataset) * len(study.postprocessing)
        case "summarise":
            return START + 1.3e-4 * plan.scored_rows()
        case "track":
            return 5 + 0.6 * len(study.models) * len(study.seeds)
        case "report":
            return 11 + 5e-4 * plan.scored_rows()
    if rule in PER_SCAN:
        fixed, each = PER_SCAN[rule]
        return fixed + each * _mapped(plan, dataset)
    return FIXED.get(rule, UNKNOWN)


def _training(plan: Plan, settings: MethodSettings) -> float:
    if not settings.learns:
        return START
    splits = {label: plan.scan_set(label).split for label in plan.training_sets()}
    scans = sum(split.train * len(plan.scans[label]) for label, split in splits.items() if split)
    size = settings.input_size()
    pixels = float(size[0] ** len(size)) if size else 100.0**2 * _finer(plan) ** (2 / 3)
    times = ADVERSARIAL if any(isinstance(each, Adversarial) for each in _sections(settings)) else 1.0
    seconds = 0.0
    for each in _optimisations(settings):
        steps = each.steps or (each.epochs or 0) * max(1, round(scans * SLICES) // each.batch_size)
        seconds += steps * times * (STEP + PIXEL_STEP * pixels * each.batch_size)
    return START + 2 + seconds


def _optimisations(settings: Section) -> Iterator[Optimisation]:
    """Stages of a training, each once more for every fold."""
    for section in _sections(settings):
        if isinstance(section, Optimisation):
            yield from [section] * (1 + getattr(section, "crossfit", 0))


def _sections(section: Section) -> Iterator[Section]:
    yield section
    for name in type(section).model_fields:
        if isinstance(value := getattr(section, name), Section):
            yield from _sections(value)


def _mapped(plan: Plan, dataset: str) -> float:
    """The scans of a data set that models map and that are scored, counted at the voxel size of the measurement."""
    split = getattr(plan.study.datasets[dataset], "split", None)
    return plan.scan_count(dataset) * (1 - (split.train if split else 0.0)) * _finer(plan)


def _finer(plan: Plan) -> float:
    """Voxels of the grid, for one where costs were measured."""
    return float((MM_MEASURED / plan.study.recipe.preprocess.spacing) ** 3)
