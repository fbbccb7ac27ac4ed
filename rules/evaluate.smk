def healthy(folder):
    """Input function: this folder of each healthy data set that the evaluated one is held against."""
    return lambda wildcards: expand(
        folder, dataset=PLAN.healthy_sets(wildcards.dataset), model=wildcards.model, seed=wildcards.seed
    )


rule evaluate:
    input:
        maps=rules.infer.output.maps,
        masks=expand(rules.postprocess.output.masks, chain=PLAN.study.chains, allow_missing=True),
        store=STUDY + "/normalize/{dataset}",
        healthy_maps=healthy(rules.infer.output.maps),
        healthy_stores=healthy(STUDY + "/normalize/{dataset}"),
    output:
        folder=directory(STUDY + "/evaluate/" + RUN + "/{dataset}"),
    log:
        STUDY + "/logs/evaluate/" + RUN + "/{dataset}.log",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **traced("evaluate"),
    script:
        "../workflow/scripts/evaluate.py"


rule summarise:
    input:
        folders=PLAN.evaluations(),
    output:
        PLAN.tables(),
    log:
        STUDY + "/logs/evaluate/summarise.log",
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **traced("summarise"),
    script:
        "../workflow/scripts/summarise.py"
