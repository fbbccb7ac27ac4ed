# Where there is a network: the machine on which Snakemake itself runs.
rule fetch:
    output:
        # when it is gone, what still has to be listed asks whether the set is still there
        note=temp("<results>/download/{dataset}/fetched.json"),
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
        note=lambda wildcards: PLAN.fetched(wildcards.dataset),
        scans=lambda wildcards: PLAN.converted(wildcards.dataset),
    output:
        table="<results>/download/{dataset}/subjects.tsv",
    log:
        "<results>/logs/download/{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        **traced("download"),
    script:
        "../workflow/scripts/download.py"
