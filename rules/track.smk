# A server that is away is a warning; `attempt` then changes, so that the next run tries again.
rule track:
    input:
        tables=PLAN.tables(),
        records=[folder / "run.json" for folder in PLAN.bundles()],
    output:
        mark="<study>/track.json",
    log:
        "<study>/logs/track.log",
    conda:
        "../envs/report.yaml"
    params:
        **traced("track"),
    script:
        "../workflow/scripts/track.py"
