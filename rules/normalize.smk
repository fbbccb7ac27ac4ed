rule split:
    input:
        table=ROOT + "/download/{dataset}/subjects.tsv",
        folders=lambda wildcards: PLAN.scan_folders(wildcards.dataset),
    output:
        table=STUDY + "/normalize/{dataset}.tsv",
    log:
        STUDY + "/logs/normalize/split_{dataset}.log",
    params:
        **traced("split"),
    script:
        "../workflow/scripts/split.py"


rule subjects:
    input:
        expand(STUDY + "/normalize/{dataset}.tsv", dataset=PLAN.sources()),
    output:
        table=STUDY + "/subjects.tsv",
    log:
        STUDY + "/logs/normalize/subjects.log",
    script:
        "../workflow/scripts/subjects.py"


rule scaling:
    input:
        tables=expand(STUDY + "/normalize/{dataset}.tsv", dataset=PLAN.training_sets()),
    output:
        scaling=STUDY + "/normalize/scaling.safetensors",
    log:
        STUDY + "/logs/normalize/scaling.log",
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
        table=lambda wildcards: STUDY + f"/normalize/{PLAN.origin(wildcards.dataset)}.tsv",
        folders=lambda wildcards: PLAN.scan_folders(PLAN.origin(wildcards.dataset)),
        scaling=STUDY + "/normalize/scaling.safetensors",
    output:
        store=directory(STUDY + "/normalize/{dataset}"),
    log:
        STUDY + "/logs/normalize/{dataset}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **traced("normalize"),
        folder=lambda wildcards: PLAN.preprocessed(PLAN.origin(wildcards.dataset)),
    script:
        "../workflow/scripts/normalize.py"
