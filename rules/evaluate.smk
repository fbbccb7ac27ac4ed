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
        # counts of voxels are kept for each scan
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(
            1900,
            volumes=max(40, round(10 * PLAN.scored_voxels())),
            rows=30
            * PLAN.scan_count(wildcards.dataset)
            * len(PLAN.study.postprocessing),
        )
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
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
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(900, rows=PLAN.scored_rows())
        * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **params("summarise"),
    script:
        "../workflow/scripts/run_job.py"
