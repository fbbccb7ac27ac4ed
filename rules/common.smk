# The study, checked before any job; paths; and what every rule's params hold.
import sys
from pathlib import Path

from brainuad.config.load import build_study
from brainuad.errors import BrainuadError
from brainuad.plan import TABLES, Plan

CONFIG_FILE = [*workflow.configfiles, "config.yaml"][0]

try:
    PLAN = Plan(build_study(config, CONFIG_FILE))
except BrainuadError as error:
    sys.exit(str(error))

THREADS = PLAN.study.compute.threads


pathvars:
    results=str(PLAN.root),
    study=str(PLAN.folder),
    recipe=PLAN.study.recipe_name,
    run="{model}/seed-{seed}",


wildcard_constraints:
    dataset="[a-z0-9_]+",
    model="[a-z0-9_]+",
    chain="[a-z0-9_]+",
    seed="[0-9]+",
    scan=r"sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?",


def traced(stage):
    """Params whose change reruns a job: the settings it reads, as sorted JSON, and the hash of its code."""
    return {
        "config": lambda wildcards: PLAN.config(stage, **dict(wildcards.items())),
        "code": lambda wildcards: PLAN.code(stage, **dict(wildcards.items())),
    }


def healthy(folder):
    """Input function: this folder of each healthy data set that the evaluated one is held against."""
    return lambda wildcards: expand(
        folder,
        dataset=PLAN.healthy_sets(wildcards.dataset),
        model=wildcards.model,
        seed=wildcards.seed,
    )
