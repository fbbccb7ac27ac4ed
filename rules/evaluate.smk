rule evaluate:
    input:
        maps=rules.infer.output.maps,
        masks=expand(
            rules.postprocess.output.masks, postprocessing=PLAN.study.postprocessing, allow_missing=True
        ),
        store="<study>/normalize/{dataset}",
        healthy_maps=healthy(rules.infer.output.maps),
        healthy_stores=healthy("<study>/normalize/{dataset}"),
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
        **traced("evaluate"),
    script:
        "../workflow/scripts/evaluate.py"


rule summarise:
    input:
        folders=PLAN.evaluations(),
    output:
        PLAN.tables(),
    log:
        "<study>/logs/evaluate/summarise.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **traced("summarise"),
    script:
        "../workflow/scripts/summarise.py"
