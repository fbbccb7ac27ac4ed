rule download:
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
