rule infer:
    input:
        weights=rules.train.output.weights,
        about=rules.train.output.about,
        store=STUDY + "/normalize/{dataset}",
    output:
        maps=directory(STUDY + "/infer/" + RUN + "/{dataset}"),
    log:
        STUDY + "/logs/infer/" + RUN + "/{dataset}.log",
    threads: THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=lambda wildcards: min(1, PLAN.gpus(wildcards.model)),
    params:
        **traced("infer"),
    script:
        "../workflow/scripts/infer.py"
