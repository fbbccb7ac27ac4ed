# Where there is a network: the machine on which Snakemake itself runs.
rule fetch:
    output:
        note="<results>/download/{dataset}/fetched.json",
    log:
        "<results>/logs/download/fetch_{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    params:
        **traced("fetch"),
    script:
        "../workflow/scripts/fetch.py"


rule list_scans:
    input:
        lambda wildcards: PLAN.fetched(wildcards.dataset),
    output:
        table="<results>/download/{dataset}/subjects.tsv",
    log:
        "<results>/logs/download/{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **traced("download"),
    script:
        "../workflow/scripts/download.py"
