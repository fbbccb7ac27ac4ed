# The study, checked before any job; paths; and what every rule's params hold.
import os
import sys
from pathlib import Path

from brainuad.cluster.placement import gpu_resources
from brainuad.cluster.run_lock import explain_lock
from brainuad.cluster.stop_monitor import ignore_slurm_warning_signals
from brainuad.config.load import build_study, study_content
from brainuad.config.paths import refuse_braces
from brainuad.errors import BrainuadError
from brainuad.jobs.warm import WarmStarts
from brainuad.plan import Plan
from brainuad.track.beside_run import BesideRun

# Jobs look for models, recipes and postprocessing where the study file lies; it is no param, for moving it changes nothing.
STUDY_FILE = str(Path([*workflow.configfiles, "config.yaml"][0]).resolve())
os.environ.update(BRAINUAD_STUDY=STUDY_FILE)

ignore_slurm_warning_signals()
explain_lock(logger)

# Files on the command line are laid on the one that the Snakefile names.
NAMED = list(map(str, workflow.config_settings.configfiles))
STUDY_FILES = [*(f for f in workflow.configfiles if str(f) not in NAMED), *NAMED]

try:
    refuse_braces(workflow.basedir)
    # Snakemake's `config` takes `ses: 010` for 8 and `no` for false; it counts where its template engine made it.
    raw = study_content(list(map(Path, STUDY_FILES)), workflow.config_settings.config)
    raw = config if "__use_yte__" in raw else raw
    PLAN = Plan(build_study(raw, STUDY_FILE))
except BrainuadError as error:
    sys.exit(str(error))

# Where the list of failed jobs goes.
os.environ.update(BRAINUAD_FOLDER=str(PLAN.folder.resolve()))

THREADS = PLAN.study.compute.threads

# Rules that end in the table of subjects, where a scan in two roles ends the study, go before scaling and training.
FIRST = 10


# Trainings in MLflow while they run, where the study asks for it.
FOLLOWER = BesideRun(PLAN.folder, PLAN.study.track.uri, PLAN.study.track.live)

# What local jobs are forked from.
WARM = WarmStarts()


# Reached by the main process of a real run alone: neither by jobs nor by dry runs.
onstart:
    from brainuad.cluster.preflight import preflight_checks
    from brainuad.cluster.submissions import spare_scheduler
    from brainuad.expected_costs import announce_time_left
    from brainuad.formats.older_layout import refuse_older_layout
    from brainuad.sharing import claim
    from snakemake_logger_plugin_brainuad import RUN

    try:
        refuse_older_layout(PLAN.folder, map(PLAN.preprocessed, PLAN.sources()))
        claim(PLAN.study, Path(STUDY_FILE))
        PLAN.refuse_leaks()
        spare_scheduler(workflow)
        preflight_checks(
            workflow,
            PLAN.folder,
            max(map(PLAN.training_threads, PLAN.study.models)),
        )
    except BrainuadError as error:
        sys.exit(str(error))
    announce_time_left(PLAN, workflow, RUN, logger.warning)
    FOLLOWER.start()
    if workflow.local_exec:
        WARM.start({1, THREADS})


# The main process of a real run alone, too.
onsuccess:
    from brainuad.cluster.submissions import cancel_turns
    from brainuad.predict import registration
    from brainuad.run_end import after_success

    cancel_turns()
    WARM.stop()
    FOLLOWER.stop()
    after_success(PLAN)
    registration.after_success(PLAN, workflow)


onerror:
    from brainuad.cluster.submissions import cancel_turns
    from brainuad.run_end import after_failure

    cancel_turns()
    WARM.stop()
    FOLLOWER.stop()
    after_failure(PLAN, workflow)


pathvars:
    results=str(PLAN.root),
    study=str(PLAN.folder),
    recipe=PLAN.study.recipe_name,
    run="{model}/seed-{seed}",


wildcard_constraints:
    dataset="[a-z0-9_]+",
    model="[a-z0-9_]+",
    postprocessing="[a-z0-9_]+",
    seed="[0-9]+",
    scan=r"sub-[^/]+",


def job(rule, wildcards):
    """The job of a rule, from the plan; what a user must do first is said in a sentence, without a traceback."""
    try:
        return PLAN.job(rule, **wildcards)
    except BrainuadError as error:
        sys.exit(str(error))


def inputs(rule):
    """Input function: the files that the rule's job reads, by name."""
    return lambda wildcards: job(rule, wildcards).inputs.named()


def params(rule):
    """Params of a rule: settings and code, whose change reruns a job, and what reruns nothing.

    Snakemake leaves params out of the comparison whose functions take `threads`.
    """
    return {
        "settings": lambda wildcards: job(rule, wildcards).tracked_json(),
        "code": lambda wildcards: job(rule, wildcards).code,
        "untracked": lambda wildcards, threads: job(rule, wildcards).untracked_json(
            threads=threads
        ),
    }


def gpus(count):
    """Resources of a rule whose jobs may ask for GPUs; where they go is the profile's to say."""
    return gpu_resources(count, workflow.resource_settings.default_resources)
