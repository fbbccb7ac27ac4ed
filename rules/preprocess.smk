# One job a scan, or a batch of scans, as `compute.batch` says. It ends well on bad data too: status.json in the scan's
# folder says so, and the study goes on. The folders are no declared outputs, which Snakemake would delete at each start:
# a job leaves alone the scans that are there as they would come out.
rule preprocess:
    input:
        unpack(lambda wildcards: PLAN.files(wildcards.dataset, wildcards.scan)),
    output:
        mark="<results>/preprocess/<recipe>/{dataset}/{scan}/done.json",
    log:
        "<results>/logs/preprocess/<recipe>/{dataset}/{scan}.log",
    conda:
        "../envs/preprocess.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        **traced("preprocess"),
    script:
        "../workflow/scripts/preprocess.py"


rule preprocess_batch:
    input:
        unpack(lambda wildcards: PLAN.batch_files(wildcards.dataset, wildcards.batch)),
    output:
        mark="<results>/preprocess/<recipe>/{dataset}/batches/{batch}.json",
    log:
        "<results>/logs/preprocess/<recipe>/{dataset}/batches/{batch}.log",
    wildcard_constraints:
        batch=r"sub-[^/]+",
    conda:
        "../envs/preprocess.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        # what is done is not lost when the time is up
        runtime=lambda wildcards, attempt: min(
            10 * PLAN.study.compute.batch * attempt, 1440
        ),
    params:
        **traced("preprocess_batch"),
    script:
        "../workflow/scripts/preprocess.py"


# What a person looks at: quality.tsv and contact sheets. It lies in the study's folder, for another study may have other
# scans of the same data set.
rule quality:
    input:
        table="<results>/download/{dataset}/subjects.tsv",
        marks=told(lambda wildcards: PLAN.marks(wildcards.dataset)),
    output:
        folder=directory("<study>/preprocess/{dataset}"),
    log:
        "<study>/logs/preprocess/quality_{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    params:
        **traced("quality"),
        folder=lambda wildcards: PLAN.preprocessed(wildcards.dataset),
    script:
        "../workflow/scripts/quality.py"
