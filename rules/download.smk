rule download:
    output:
        table=ROOT + "/download/{dataset}/subjects.tsv",
    log:
        ROOT + "/logs/download/{dataset}.log",
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **traced("download"),
    script:
        "../workflow/scripts/download.py"
