# Thresholds come from healthy, or labelled, validation scans: their maps and array caches are inputs of every data set's
# job.
rule postprocess:
    input:
        unpack(inputs("postprocess")),
    output:
        masks=directory("<study>/postprocess/<run>/{dataset}/{postprocessing}"),
    log:
        "<study>/logs/postprocess/<run>/{dataset}_{postprocessing}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1900, volumes=40) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **params("postprocess"),
    script:
        "../workflow/scripts/run_job.py"


rule native:
    input:
        unpack(inputs("native")),
    output:
        folder=directory("<study>/native/<run>/{dataset}/{postprocessing}"),
    log:
        "<study>/logs/native/<run>/{dataset}_{postprocessing}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1900, volumes=40) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **params("native"),
    script:
        "../workflow/scripts/run_job.py"


# Needs no model: what postprocessing and resizing leave of the lesion masks themselves.
rule ceilings:
    input:
        unpack(inputs("ceilings")),
    output:
        folder=directory("<study>/ceilings/{dataset}"),
    log:
        "<study>/logs/ceilings/{dataset}.log",
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1900, volumes=40) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **params("ceilings"),
    script:
        "../workflow/scripts/run_job.py"
