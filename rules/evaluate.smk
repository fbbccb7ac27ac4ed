rule evaluate:
    input:
        unpack(inputs("evaluate")),
    output:
        folder=directory("<study>/evaluate/<run>/{dataset}"),
    log:
        "<study>/logs/evaluate/<run>/{dataset}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **params("evaluate"),
    script:
        "../workflow/scripts/run_job.py"


rule summarise:
    input:
        unpack(inputs("summarise")),
    output:
        metrics="<study>/evaluate/metrics.tsv",
        scans="<study>/evaluate/scans.tsv",
        lesions="<study>/evaluate/lesions.tsv",
        curves="<study>/evaluate/curves.tsv",
        comparisons="<study>/evaluate/comparisons.tsv",
    log:
        "<study>/logs/evaluate/summarise.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **params("summarise"),
    script:
        "../workflow/scripts/run_job.py"
