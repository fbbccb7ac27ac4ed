rule split:
    input:
        unpack(inputs("split")),
    output:
        table="<study>/normalize/{dataset}.tsv",
    log:
        "<study>/logs/normalize/split_{dataset}.log",
    priority: FIRST
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **params("split"),
    script:
        "../workflow/scripts/run_job.py"


rule subjects:
    input:
        unpack(inputs("subjects")),
    output:
        table="<study>/subjects.tsv",
    log:
        "<study>/logs/normalize/subjects.log",
    priority: FIRST
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **params("subjects"),
    script:
        "../workflow/scripts/run_job.py"


rule scaling:
    input:
        unpack(inputs("scaling")),
    output:
        scaling="<study>/normalize/scaling.safetensors",
    log:
        "<study>/logs/normalize/scaling.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1900, volumes=30) * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **params("scaling"),
    script:
        "../workflow/scripts/run_job.py"


rule normalize:
    input:
        unpack(inputs("normalize")),
    output:
        array_cache=directory("<study>/normalize/{dataset}"),
    log:
        "<study>/logs/normalize/{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1900, volumes=30) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **params("normalize"),
    script:
        "../workflow/scripts/run_job.py"
