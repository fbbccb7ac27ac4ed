# A model file on many scans, in parts that run at once. A workflow of its own, no part of a study (docs/predict_python.md):
# snakemake --profile profiles/local --snakefile workflow/predict.smk --config model=mine.brainuad input=scans output=out
import sys

from brainuad.errors import BrainuadError
from brainuad.predict import cohort

try:
    COHORT = cohort.cohort_of(config)
except BrainuadError as error:
    sys.exit(str(error))


localrules:
    predict,


rule predict:
    input:
        COHORT.markers(),
    run:
        cohort.finish(COHORT, input)


rule part:
    input:
        model=str(COHORT.request.model),
    output:
        COHORT.marker("{part}"),
    threads: COHORT.request.threads or 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        stamp=COHORT.stamp(),
    run:
        cohort.run_part(COHORT, int(wildcards.part))
