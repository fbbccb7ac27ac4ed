rule split:
    input:
        table="<results>/download/{dataset}/subjects.tsv",
        marks=told(lambda wildcards: PLAN.marks(wildcards.dataset)),
    output:
        table="<study>/normalize/{dataset}.tsv",
    log:
        "<study>/logs/normalize/split_{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    params:
        **traced("split"),
        folder=lambda wildcards: PLAN.preprocessed(wildcards.dataset),
    script:
        "../workflow/scripts/split.py"


rule subjects:
    input:
        expand("<study>/normalize/{dataset}.tsv", dataset=PLAN.sources()),
    output:
        table="<study>/subjects.tsv",
    log:
        "<study>/logs/normalize/subjects.log",
    conda:
        "../envs/preprocess.yaml"
    script:
        "../workflow/scripts/subjects.py"


rule scaling:
    input:
        tables=expand("<study>/normalize/{dataset}.tsv", dataset=PLAN.training_sets()),
    output:
        scaling="<study>/normalize/scaling.safetensors",
    log:
        "<study>/logs/normalize/scaling.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **traced("scaling"),
        folders=[PLAN.preprocessed(dataset) for dataset in PLAN.training_sets()],
    script:
        "../workflow/scripts/scaling.py"


rule normalize:
    input:
        table=lambda wildcards: f"<study>/normalize/{PLAN.origin(wildcards.dataset)}.tsv",
        marks=told(lambda wildcards: PLAN.marks(PLAN.origin(wildcards.dataset))),
        masks=lambda wildcards: PLAN.masks(wildcards.dataset),
        scaling="<study>/normalize/scaling.safetensors",
    output:
        store=directory("<study>/normalize/{dataset}"),
    log:
        "<study>/logs/normalize/{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **traced("normalize"),
        folder=lambda wildcards: PLAN.preprocessed(PLAN.origin(wildcards.dataset)),
    script:
        "../workflow/scripts/normalize.py"
