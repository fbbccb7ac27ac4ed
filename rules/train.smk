# The checkpoint of an unfinished training lies in `resume/` beside the outputs: these are deleted when a job starts.
rule train:
    input:
        unpack(inputs("train")),
    output:
        weights="<study>/train/<run>/arrays.safetensors",
        bundle="<study>/train/<run>/bundle.json",
        record="<study>/train/<run>/run.json",
    log:
        "<study>/logs/train/<run>.log",
    conda:
        "../envs/train.yaml"
    threads: lambda wildcards: PLAN.training_threads(wildcards.model)
    resources:
        **gpus(lambda wildcards: PLAN.gpus(wildcards.model)),
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(3900, volumes=60)
        * attempt
        * PLAN.processes(wildcards.model),
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        **params("train"),
    script:
        "../workflow/scripts/run_job.py"
