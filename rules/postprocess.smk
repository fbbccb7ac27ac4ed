# Thresholds come from healthy, or labelled, validation scans: their maps and stores are inputs of every data set's job.
rule postprocess:
    input:
        maps=rules.infer.output.maps,
        store="<study>/normalize/{dataset}",
        validation_maps=expand(
            rules.infer.output.maps,
            dataset=PLAN.study.validation_sets(),
            allow_missing=True,
        ),
        validation_stores=expand(
            "<study>/normalize/{dataset}", dataset=PLAN.study.validation_sets()
        ),
    output:
        masks=directory("<study>/postprocess/<run>/{dataset}/{postprocessing}"),
    log:
        "<study>/logs/postprocess/<run>/{dataset}_{postprocessing}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **traced("postprocess"),
        healthy=[
            PLAN.study.datasets[dataset].healthy
            for dataset in PLAN.study.validation_sets()
        ],
    script:
        "../workflow/scripts/postprocess.py"


rule native:
    input:
        maps=rules.infer.output.maps,
        masks=rules.postprocess.output.masks,
        table="<study>/normalize/{dataset}.tsv",
    output:
        folder=directory("<study>/native/<run>/{dataset}/{postprocessing}"),
    log:
        "<study>/logs/native/<run>/{dataset}_{postprocessing}.log",
    conda:
        "../envs/preprocess.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        **traced("native"),
        folder=lambda wildcards: PLAN.preprocessed(wildcards.dataset),
    script:
        "../workflow/scripts/native.py"
