# The checkpoint of an unfinished training lies in `resume/` beside the outputs: these are deleted when a job starts.
rule train:
    input:
        stores=expand(STUDY + "/normalize/{dataset}", dataset=PLAN.training_sets()),
    output:
        weights=STUDY + "/train/" + RUN + "/arrays.safetensors",
        about=STUDY + "/train/" + RUN + "/bundle.json",
        record=STUDY + "/train/" + RUN + "/run.json",
    log:
        STUDY + "/logs/train/" + RUN + ".log",
    threads: THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=lambda wildcards: PLAN.gpus(wildcards.model),
    params:
        **traced("train"),
    script:
        "../workflow/scripts/train.py"
