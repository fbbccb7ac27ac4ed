# A server that is away is a warning; `attempt` then changes, so that the next run tries again.
rule track:
    input:
        unpack(inputs("track")),
    output:
        mark="<study>/track.json",
    log:
        "<study>/logs/track.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1000, rows=PLAN.scored_rows())
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        **params("track"),
    script:
        "../workflow/scripts/run_job.py"
