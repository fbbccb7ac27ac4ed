rule infer:
    input:
        weights=lambda wildcards: PLAN.bundle(wildcards.model, wildcards.seed)
        / "arrays.safetensors",
        about=lambda wildcards: PLAN.bundle(wildcards.model, wildcards.seed)
        / "bundle.json",
        store="<study>/normalize/{dataset}",
    output:
        maps=directory("<study>/infer/<run>/{dataset}"),
    log:
        "<study>/logs/infer/<run>/{dataset}.log",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **gpus(lambda wildcards: min(1, PLAN.gpus(wildcards.model))),
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **traced("infer"),
    script:
        "../workflow/scripts/infer.py"
