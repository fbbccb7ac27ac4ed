# A model file on many scans, in parts that run at once. A workflow of its own, no part of a study (docs/predict.md):
# snakemake --profile profiles/local --snakefile workflow/predict.smk --config model=mine.brainuad input=scans output=out
import os
import sys

from brainuad.cluster.run_lock import explain_lock
from brainuad.cluster.stop_monitor import ignore_slurm_warning_signals
from brainuad.errors import BrainuadError
from brainuad.predict import cohort

ignore_slurm_warning_signals()
explain_lock(logger)

try:
    COHORT = cohort.cohort_of(config)
except BrainuadError as error:
    sys.exit(str(error))


# Where the list of failed jobs goes.
os.environ.update(BRAINUAD_FOLDER=str(COHORT.request.output.resolve()))


# Reached by the main process of a real run alone: neither by jobs nor by dry runs.
onstart:
    from brainuad.cluster.preflight import preflight_checks
    from brainuad.cluster.submissions import spare_scheduler

    try:
        spare_scheduler(workflow)
        preflight_checks(workflow, COHORT.request.output, COHORT.threads)
    except BrainuadError as error:
        sys.exit(str(error))


onsuccess:
    from brainuad.cluster.submissions import cancel_turns

    cancel_turns()


onerror:
    from brainuad.cluster.submissions import cancel_turns

    cancel_turns()


localrules:
    predict,


rule predict:
    input:
        COHORT.markers(),
    # A profile's retries are for faults of the machine. Here scans failed, and the markers of their parts are gone.
    retries: 0
    run:
        cohort.finish(COHORT, input)


rule part:
    input:
        model=str(COHORT.request.model),
    output:
        COHORT.marker("{part}"),
    threads: COHORT.threads
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        stamp=COHORT.stamp(),
    run:
        cohort.run_part(COHORT, int(wildcards.part))
