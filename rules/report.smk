rule report:
    input:
        tables=PLAN.tables(),
        subjects=STUDY + "/subjects.tsv",
    output:
        page=report(
            STUDY + "/report/index.html", category="Study", caption=workflow.source_path("../workflow/captions/page.rst")
        ),
        failures=STUDY + "/failures.tsv",
        costs=STUDY + "/costs.tsv",
    log:
        STUDY + "/logs/report.log",
    params:
        **traced("report"),
    script:
        "../workflow/scripts/report.py"
