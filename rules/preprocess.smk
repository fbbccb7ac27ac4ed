# One job a scan. It ends well on bad data too: status.json in its folder says so, and the study goes on.
rule preprocess:
    input:
        unpack(lambda wildcards: PLAN.files(wildcards.dataset, wildcards.scan)),
    output:
        folder=directory("<results>/preprocess/<recipe>/{dataset}/{scan}"),
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


# What a person looks at: quality.tsv and contact sheets. It lies in the study's folder, for another study may have other
# scans of the same data set.
rule quality:
    input:
        table="<results>/download/{dataset}/subjects.tsv",
        folders=told(lambda wildcards: PLAN.scan_folders(wildcards.dataset)),
    output:
        folder=directory("<study>/preprocess/{dataset}"),
    log:
        "<study>/logs/preprocess/quality_{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    params:
        **traced("quality"),
    script:
        "../workflow/scripts/quality.py"
