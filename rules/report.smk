rule report:
    input:
        unpack(inputs("report")),
    output:
        page=report(
            "<study>/report/index.html",
            category="Study",
            caption=workflow.source_path("../workflow/captions/page.rst"),
        ),
        failures="<study>/failures.tsv",
        costs="<study>/costs.tsv",
    log:
        "<study>/logs/report.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.megabytes(1000, rows=PLAN.scored_rows())
        * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        **params("report"),
    script:
        "../workflow/scripts/run_job.py"
