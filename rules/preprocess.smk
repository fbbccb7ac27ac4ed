# One job a scan, or a batch of scans, as `compute.scans_per_job` says. It ends well on bad data too: status.json in the
# scan's folder says so, and the study goes on. The folders are no declared outputs, which Snakemake would delete at each
# start: a job leaves alone the scans that are there as they would come out.
rule preprocess:
    input:
        unpack(inputs("preprocess")),
    output:
        done="<results>/preprocess/<recipe>/{dataset}/{scan}/done.json",
    log:
        "<results>/logs/preprocess/<recipe>/{dataset}/{scan}.log",
    priority: FIRST
    conda:
        "../envs/preprocess.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1900, volumes=30) * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        **params("preprocess"),
    script:
        "../workflow/scripts/run_job.py"


rule preprocess_batch:
    input:
        unpack(inputs("preprocess_batch")),
    output:
        done="<results>/preprocess/<recipe>/{dataset}/batches/{batch}.json",
    log:
        "<results>/logs/preprocess/<recipe>/{dataset}/batches/{batch}.log",
    wildcard_constraints:
        batch=r"sub-[^/]+",
    priority: FIRST
    conda:
        "../envs/preprocess.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1900, volumes=30) * attempt,
        # what is done is not lost when the time is up
        runtime=lambda wildcards, attempt: min(
            10 * PLAN.study.compute.scans_per_job * attempt, 1440
        ),
    params:
        **params("preprocess_batch"),
    script:
        "../workflow/scripts/run_job.py"


# The verdict on each scan. It lies in the study's folder, because another study may have other scans of the data set.
rule quality:
    input:
        unpack(inputs("quality")),
    output:
        table="<study>/preprocess/{dataset}/quality.tsv",
    log:
        "<study>/logs/preprocess/quality_{dataset}.log",
    priority: FIRST
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **params("quality"),
    script:
        "../workflow/scripts/run_job.py"


# Apart from the table, on which the split depends: an edit of the pictures reruns nothing else.
rule contact_sheets:
    input:
        unpack(inputs("contact_sheets")),
    output:
        folder=directory("<study>/preprocess/{dataset}/contact_sheets"),
    log:
        "<study>/logs/preprocess/contact_sheets_{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **params("contact_sheets"),
    script:
        "../workflow/scripts/run_job.py"
