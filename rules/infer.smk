rule infer:
    input:
        unpack(inputs("infer")),
    output:
        maps=directory("<study>/infer/<run>/{dataset}"),
    log:
        "<study>/logs/infer/<run>/{dataset}.log",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **gpus(lambda wildcards: min(1, PLAN.gpus(wildcards.model))),
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(2900, volumes=40) * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **params("infer"),
    script:
        "../workflow/scripts/run_job.py"
