# Where there is a network: the machine on which Snakemake itself runs.
rule fetch:
    output:
        # when it is gone, what still has to be listed asks whether the set is still there
        note=temp("<results>/download/{dataset}/fetched.json"),
    log:
        "<results>/logs/download/fetch_{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        **params("fetch"),
    script:
        "../workflow/scripts/run_job.py"


rule list_scans:
    input:
        unpack(inputs("list_scans")),
    output:
        table="<results>/download/{dataset}/subjects.tsv",
    log:
        "<results>/logs/download/{dataset}.log",
    priority: FIRST
    conda:
        "../envs/preprocess.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        **params("list_scans"),
    script:
        "../workflow/scripts/run_job.py"
