# brainuad: from scans to tables. The study is `config.yaml` (the demo) or what --configfile names.
from snakemake.utils import min_version

min_version("9.0")

if "study" not in config:

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/download.smk"
include: "rules/preprocess.smk"
include: "rules/normalize.smk"
include: "rules/train.smk"
include: "rules/infer.smk"
include: "rules/postprocess.smk"
include: "rules/evaluate.smk"
include: "rules/track.smk"
include: "rules/report.smk"


localrules:
    all,
    download,
    fetch,
    preprocess_all,
    train_all,
    evaluate_all,
    quality,
    contact_sheets,
    split,
    subjects,
    track,
    report,


rule all:
    default_target: True
    input:
        "<study>/track.json",
        "<study>/report/index.html",
        PLAN.natives(),


rule download:
    input:
        expand("<results>/download/{dataset}/subjects.tsv", dataset=PLAN.sources()),


rule preprocess_all:
    input:
        "<study>/subjects.tsv",
        PLAN.contact_sheets(),


rule train_all:
    input:
        [folder / "bundle.json" for folder in PLAN.bundles()],


rule evaluate_all:
    input:
        PLAN.tables(),
